import { z } from 'zod';
import { MailgressError } from '../core/errors.ts';
import { endpointSchema, eventTypeSchema } from '../core/resources.ts';
import { newRulesSchema } from '../core/rules.ts';
import type { Egress } from '../deliver/egress.ts';
import { findBadCustomHeader } from '../deliver/headers.ts';
import { isWithoutControls, tenantField, textField } from './fields.ts';

/** Far more than a gateway's key or two takes, and with ours within what servers read. */
const MOST_HEADERS = 20;
const MAX_HEADERS_LENGTH = 4096;

const fields = {
  // Of any scheme: what may not be called is for the egress guard to say.
  url: z
    .url({ error: 'must be an absolute URL' })
    .max(2000)
    .refine(isWithoutControls, { error: 'must not hold control characters' }),
  description: textField(1000),
  types: z.array(eventTypeSchema).min(1),
  rules: newRulesSchema.describe('Which events are sent, and when; everything given must hold'),
  order: endpointSchema.shape.order,
  maxInFlight: z.int().min(1).max(256).describe('Webhooks under way to it at a time'),
  ratePerSecond: z
    .int()
    .min(1)
    .max(10_000)
    .nullable()
    .describe('Webhooks a second at most, over all processes; null: as many as it takes'),
  headers: z
    .record(z.string().max(200), z.string().max(MAX_HEADERS_LENGTH))
    .superRefine((headers, context) => {
      const entries = Object.entries(headers);
      if (entries.length > MOST_HEADERS) return refuse(context, `must be ${MOST_HEADERS} at most`);
      if (entries.flat().join('').length > MAX_HEADERS_LENGTH) {
        return refuse(context, `must be ${MAX_HEADERS_LENGTH} characters at most, all together`);
      }
      const bad = findBadCustomHeader(headers);
      if (bad !== undefined) refuse(context, bad);
    })
    .describe('Sent along with each webhook, as a key of a gateway; the values are never shown'),
};

function refuse(context: z.RefinementCtx, message: string): void {
  context.addIssue({ code: 'custom', message });
}

/** What makes an endpoint. */
export const endpointSettingsSchema = z.strictObject({
  url: fields.url,
  tenant: tenantField
    .nullable()
    .optional()
    .describe("Null: events of all tenants. Default: the key's, else null"),
  description: fields.description.default(''),
  types: fields.types.default(['message.received']),
  rules: fields.rules.default({}),
  order: fields.order.default(null),
  maxInFlight: fields.maxInFlight.default(16),
  ratePerSecond: fields.ratePerSecond.default(null),
  headers: fields.headers.default({}),
});

/** What is given replaces what was, `rules` and `headers` as a whole. */
export const endpointChangeSchema = z.strictObject(fields).partial();

/** @throws MailgressError `egress_blocked` for a URL that may not be called. */
export function checkUrl(egress: Egress, url: string): void {
  const checked = egress.checkUrl(url);
  if (checked.ok) return;
  throw new MailgressError('egress_blocked', `url ${checked.reason}`, {
    faults: [{ path: 'url', message: checked.reason }],
  });
}
