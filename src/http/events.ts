import { createRoute, type OpenAPIHono } from '@hono/zod-openapi';
import { z } from 'zod';
import { MailgressError } from '../core/errors.ts';
import { FEED_START, type FeedEvent, type FeedPosition, findFeedEnd, readFeed } from '../store/feed.ts';
import { textField } from './fields.ts';
import { answer, createRouter, problems } from './openapi.ts';
import { principalOf } from './principal.ts';
import type { Services } from './services.ts';

const eventSchema = z.object({
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

const querySchema = z.strictObject({
  limit: z.coerce.number().int().min(1).max(500).default(50),
  after: z
    .string()
    .max(100)
    .optional()
    .describe('A `cursor` or `next`; absent: from the beginning; `now`: only what comes from here on'),
  types: textField(1000).optional().describe('Comma-separated; absent: all'),
});

/** The log, oldest first: page on with `next` for ever, and nothing is skipped. */
export function eventRoutes({ database: { sql } }: Services): OpenAPIHono {
  const router = createRouter();

  router.openapi(
    createRoute({
      method: 'get',
      path: '/v1/events',
      tags: ['events'],
      summary: 'Read the log, oldest first; `next` is always the place to go on from',
      request: { query: querySchema },
      responses: {
        200: answer('A page', z.object({ data: z.array(eventSchema), next: z.string() })),
        ...problems(400, 401),
      },
    }),
    async (c) => {
      const { limit, after, types } = c.req.valid('query');
      if (after === 'now') return c.json({ data: [], next: printCursor(await findFeedEnd(sql)) }, 200);
      const page = await readFeed(sql, {
        scope: principalOf(c),
        after: after === undefined ? FEED_START : parseCursor(after),
        types: types?.split(',').map((type) => type.trim()) ?? [],
        limit,
      });
      return c.json({ data: page.events.map(printEvent), next: printCursor(page.next) }, 200);
    },
  );

  return router;
}

function printEvent({ id, type, createdAt, data, position }: FeedEvent): z.infer<typeof eventSchema> {
  const cursor = printCursor(position);
  return { id, type, timestamp: createdAt.toISOString(), cursor, data: JSON.parse(data) };
}

function printCursor({ xid, uuid }: FeedPosition): string {
  return Buffer.from(`${xid}.${uuid.replaceAll('-', '')}`).toString('base64url');
}

/** @throws MailgressError `bad_request`. */
function parseCursor(cursor: string): FeedPosition {
  const text = Buffer.from(cursor, 'base64url').toString('latin1');
  const [, xid, uuid] = /^(\d{1,19})\.([0-9a-f]{32})$/.exec(text) ?? [];
  if (xid !== undefined && uuid !== undefined) return { xid, uuid };
  throw new MailgressError('bad_request', 'The cursor is not one of this feed', {
    faults: [{ path: 'after', message: 'must be the `cursor` of an event or the `next` of a page' }],
  });
}
