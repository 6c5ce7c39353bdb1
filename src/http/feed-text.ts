import { z } from 'zod';
import { MailgressError } from '../core/errors.ts';
import { eventTypeSchema } from '../core/resources.ts';
import type { FeedEvent, FeedPosition } from '../store/feed.ts';

/*
 * The feed as text: its places, its events, and its filter, alike for pages and for the stream.
 */

export const eventSchema = z.object({
  id: z.string(),
  type: z.string(),
  timestamp: z.iso.datetime(),
  cursor: z.string().describe('The place right behind this event'),
  data: z
    .record(z.string(), z.unknown())
    .describe(
      'Of `message.received`, the message; of one that was deleted `{id, tenant, mailboxId, deleted: true}`',
    ),
});

const loggedTypes: readonly string[] = [...eventTypeSchema.options, 'endpoint.test'];

/** `?types=`: several, between commas. A name that is none would find nothing, in silence. */
export const typesField = z
  .string()
  .max(1000)
  .transform((text, context) => {
    const types = text.split(',').map((type) => type.trim());
    const unknown = types.filter((type) => !loggedTypes.includes(type));
    if (unknown.length === 0) return types;
    context.addIssue({ code: 'custom', message: `must be of ${loggedTypes.join(', ')}, between commas` });
    return z.NEVER;
  });

/** An event as `GET /v1/events` has it, as JSON. */
export function printEvent({ id, type, createdAt, data, position }: FeedEvent): string {
  const head = { id, type, timestamp: createdAt.toISOString(), cursor: printCursor(position) };
  // Stored as JSON text: put in as it is. Of line ends it can hold those between its parts alone, and SSE none.
  return `${JSON.stringify(head).slice(0, -1)},"data":${data.replace(/[\r\n]+/g, ' ')}}`;
}

export function printCursor({ xid, uuid }: FeedPosition): string {
  return Buffer.from(`${xid}.${uuid.replaceAll('-', '')}`).toString('base64url');
}

/**
 * @param path what it was sent as.
 * @throws MailgressError `bad_request`.
 */
export function parseCursor(cursor: string, path = 'after'): FeedPosition {
  const text = Buffer.from(cursor, 'base64url').toString('latin1');
  const [, xid, uuid] = /^(0|[1-9]\d{0,18})\.([0-9a-f]{32})$/.exec(text) ?? [];
  if (xid !== undefined && uuid !== undefined) return { xid, uuid };
  throw notOfThisLog(path);
}

export function notOfThisLog(path: string): MailgressError {
  return new MailgressError('bad_request', 'The cursor is not one of this feed', {
    faults: [{ path, message: 'must be the `cursor` of an event or the `next` of a page' }],
  });
}
