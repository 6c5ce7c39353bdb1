import { createRoute, type OpenAPIHono } from '@hono/zod-openapi';
import { z } from 'zod';
import { FEED_START, findFeedEnd, readFeed } from '../store/feed.ts';
import { eventSchema, parseCursor, printCursor, printEvent, typesField } from './feed-text.ts';
import { answer, createRouter, problems } from './openapi.ts';
import { principalOf } from './principal.ts';
import { expectReached } from './reached-place.ts';
import type { Services } from './services.ts';

/** An event can have half a MiB. So many are read at a time, and no more once the page has so much of them. */
const STEP_EVENTS = 64;
const PAGE_LENGTH = 8 * 1024 * 1024;

const querySchema = z.strictObject({
  limit: z.coerce
    .number()
    .int()
    .min(1)
    .max(500)
    .default(50)
    .describe('At most; of long events a page has fewer'),
  after: z
    .string()
    .max(100)
    .optional()
    .describe(
      'A `cursor` or `next`; absent or `start`: from the beginning; `now`: only what comes from here on',
    ),
  types: typesField.optional().describe('Comma-separated; absent: all'),
});

/** The log, oldest first: page on with `next` for ever, and nothing is skipped. */
export function eventRoutes(services: Services): OpenAPIHono {
  const { sql } = services.database;
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
      const { limit, after, types = [] } = c.req.valid('query');
      if (after === 'now') return c.json({ data: [], next: printCursor(await findFeedEnd(sql)) }, 200);
      let next = after === undefined || after === 'start' ? FEED_START : parseCursor(after);
      const data: z.infer<typeof eventSchema>[] = [];
      for (let length = 0, isMore = true; isMore; ) {
        const step = Math.min(STEP_EVENTS, limit - data.length);
        const page = await readFeed(sql, { scope: principalOf(c), after: next, types, limit: step });
        if (page.isBeyond && data.length === 0) await expectReached(services, next, 'after');
        next = page.next;
        for (const event of page.events) {
          length += event.data.length;
          data.push(JSON.parse(printEvent(event)));
        }
        isMore = page.events.length === step && data.length < limit && length < PAGE_LENGTH;
      }
      return c.json({ data, next: printCursor(next) }, 200);
    },
  );

  return router;
}
