import { z } from 'zod';
import { type Fault, MailgressError } from '../../core/errors.ts';

/** What a push says: that this mailbox, lower case, has history up to this id, digits without leading zeros. */
export type Push = { address: string; historyId: string };

/** 64 bits are 20 digits; emulators have 21. The column takes any number, so that this is a bound and no meaning. */
const historyIdSchema = z.string().regex(/^\d{1,40}$/, { error: 'must be 1 to 40 digits' });

const payloadSchema = z.object({
  emailAddress: z
    .string()
    .max(320)
    // No controls: PostgreSQL's text refuses U+0000.
    .regex(/^[!-?A-~\u0080-\uffff]+@[!-?A-~\u0080-\uffff]+$/, { error: 'must be an address' }),
  historyId: historyIdSchema,
});

const envelopeSchema = z.object({
  message: z.object({
    data: z.string().describe('The other form, in base64'),
    messageId: z.string().optional(),
    publishTime: z.string().optional(),
    attributes: z.record(z.string(), z.string()).nullish(),
  }),
  subscription: z.string().optional(),
  deliveryAttempt: z.number().optional(),
});

/** What is read of the envelope. The rest is of no use here, and may change. */
const dataSchema = z.object({ message: envelopeSchema.shape.message.pick({ data: true }) });

/** Both forms, for the reference; the body is read by `parsePush`. */
export const pushBodySchema = z.union([
  envelopeSchema,
  payloadSchema.extend({ historyId: z.union([historyIdSchema, z.number()]) }),
]);

/**
 * Reads the body of a push, in Pub/Sub's envelope or unwrapped
 * (https://cloud.google.com/pubsub/docs/payload-unwrapping, https://developers.google.com/workspace/gmail/api/guides/push).
 *
 * @throws MailgressError `bad_request` for whatever Google never sends.
 */
export function parsePush(bytes: Uint8Array): Push {
  const body = parseJson(bytes, 'The body');
  const isWrapped = typeof body === 'object' && body !== null && 'message' in body;
  const payload = isWrapped ? readEnvelope(body) : body;
  const { emailAddress, historyId } = parseWith(payloadSchema, payload, isWrapped ? 'message.data' : '');
  return { address: emailAddress.toLowerCase(), historyId: BigInt(historyId).toString() };
}

function readEnvelope(body: object): unknown {
  const { message } = parseWith(dataSchema, body);
  const data = decodeBase64(message.data);
  if (data === undefined) throw badShape([{ path: 'message.data', message: 'must be base64' }]);
  return parseJson(data, 'message.data');
}

/**
 * Base64 or base64url, with or without padding. Buffer.from skips what is neither: only what it would write itself was
 * all base64.
 */
function decodeBase64(text: string): Buffer | undefined {
  const digits = text.replace(/={1,2}$/, '');
  if (digits.length < text.length && text.length % 4 !== 0) return undefined;
  const canonical = digits.replaceAll('+', '-').replaceAll('/', '_');
  const bytes = Buffer.from(canonical, 'base64url');
  return bytes.toString('base64url') === canonical ? bytes : undefined;
}

/** TC39's JSON.parse source text access, which Node 24 has and TypeScript's library does not know yet. */
type ParseWithSource = (
  text: string,
  reviver: (key: string, value: unknown, context: { source?: string }) => unknown,
) => unknown;

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** JSON in which a history id that is a number is the digits it was written with: it may be larger than 2^53. */
function parseJson(bytes: Uint8Array, name: string): unknown {
  try {
    return (JSON.parse as ParseWithSource)(utf8.decode(bytes), (key, value, { source }) =>
      key === 'historyId' && typeof value === 'number' ? source : value,
    );
  } catch {
    // The parser's own error quotes the body: it goes no further.
    throw new MailgressError('bad_request', `${name} is not JSON in UTF-8`);
  }
}

function parseWith<T>(schema: z.ZodType<T>, value: unknown, at = ''): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw badShape(
    parsed.error.issues.map(({ path, message }) => ({
      path: [at, ...path].filter((part) => part !== '').join('.'),
      message,
    })),
  );
}

function badShape(faults: Fault[]): MailgressError {
  return new MailgressError('bad_request', 'The body has another shape than a push of Gmail has', { faults });
}
