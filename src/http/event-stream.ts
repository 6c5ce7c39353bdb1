import type { ServerResponse } from 'node:http';
import { createRoute, type OpenAPIHono } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { z } from 'zod';
import { MailgressError } from '../core/errors.ts';
import type { FeedHubOptions, FeedRequest, FeedSink } from '../deliver/feed-hub.ts';
import { FEED_START, type FeedPosition, findFeedEnd } from '../store/feed.ts';
import { parseCursor, printCursor, printEvent, typesField } from './feed-text.ts';
import { createRouter, problems } from './openapi.ts';
import { principalOf } from './principal.ts';
import { expectReached } from './reached-place.ts';
import type { Services } from './services.ts';

/** What a client may have outstanding: with more it is dropped, and resumes where it was. */
const MAX_HELD_BYTES = 1024 * 1024;

/** The stream as Server-Sent Events (HTML Standard, section 9.2). */
export const printForStream: FeedHubOptions['print'] = {
  event: (event) => Buffer.from(`id: ${printCursor(event.position)}\ndata: ${printEvent(event)}\n\n`),
  // An id without data is no event to the client, but where it resumes.
  mark: (position) => Buffer.from(position === undefined ? ':\n\n' : `:\nid: ${printCursor(position)}\n\n`),
};

const query = z.strictObject({
  after: z
    .string()
    .max(100)
    .optional()
    .describe('A `cursor` or `next`; `start`: from the beginning; absent or `now`: only what comes'),
  types: typesField.optional().describe('Comma-separated; absent: all'),
});

/** The log as it grows, for as long as the client stays. */
export function eventStreamRoutes(services: Services): OpenAPIHono {
  const { database, feed } = services;
  const router = createRouter();

  router.openapi(
    createRoute({
      method: 'get',
      path: '/v1/events/stream',
      tags: ['events'],
      summary: 'Follow the log as Server-Sent Events; `Last-Event-ID` resumes behind that event',
      request: {
        query,
        headers: z.object({
          'last-event-id': z.string().max(100).optional().describe('Counts before `after`'),
        }),
      },
      responses: {
        200: {
          description:
            'Each event as `GET /v1/events` has it, with its `cursor` as the id; a comment each 15 s',
          content: { 'text/event-stream': { schema: z.string() } },
        },
        ...problems(400, 401),
      },
    }),
    async (c) => {
      const { after, types = [] } = c.req.valid('query');
      const position = await findStart(after, c.req.header('last-event-id'));
      // A stream that nobody reads would not end: of HEAD, and when this took so long that the caller was told so or left.
      const { outgoing }: { outgoing?: ServerResponse } = c.env ?? {};
      if (c.req.method === 'HEAD' || outgoing === undefined || outgoing.headersSent || outgoing.destroyed) {
        return c.body(null, 200, { 'content-type': 'text/event-stream' });
      }
      return c.body(openStream({ after: position, types, scope: principalOf(c) }, outgoing, c), 200, {
        'content-type': 'text/event-stream',
        'cache-control': 'no-store',
        // nginx would gather events in its buffers.
        'x-accel-buffering': 'no',
      });
    },
  );

  async function findStart(
    after: string | undefined,
    lastEventId: string | undefined,
  ): Promise<FeedPosition> {
    // EventSource keeps the URL it was made with, and its `after`, when it connects again.
    const isResumed = lastEventId !== undefined && lastEventId !== '';
    if (!isResumed && after === 'start') return FEED_START;
    if (!isResumed && (after === undefined || after === 'now')) return findFeedEnd(database.sql);
    const path = isResumed ? 'Last-Event-ID' : 'after';
    const position = parseCursor(isResumed ? lastEventId : (after ?? ''), path);
    // The hub would wait there, and all who follow with it.
    await expectReached(services, position, path);
    return position;
  }

  /**
   * The body of the answer, which begins and ends it. What is between goes into the response directly: through a web stream each
   * event would cost some promises and objects a client.
   */
  function openStream(
    request: FeedRequest,
    outgoing: ServerResponse,
    c: Context,
  ): ReadableStream<Uint8Array> {
    let close: (() => void) | undefined;
    const over = () => {
      clearInterval(recheck);
      close?.();
    };
    const drop = () => {
      over();
      outgoing.destroy();
    };
    // A key that was taken back ends what it has opened.
    const recheck = setInterval(() => {
      services.identify(c).then(
        (principal) => principal ?? drop(),
        // Whoever cannot be asked now is asked again; of a bad key it is also said that there were many.
        (error) => {
          if (error instanceof MailgressError && error.code === 'too_many_attempts') drop();
        },
      );
    }, RECHECK_MS);
    outgoing.once('close', over);

    return new ReadableStream<Uint8Array>(
      {
        // With the place it begins from: a client that is cut off before anything came goes on from there, and not from
        // what is `now` by then.
        start: (controller) =>
          controller.enqueue(Buffer.from(`retry: ${RECONNECT_MS}\nid: ${printCursor(request.after)}\n\n`)),
        // Asked for when all before has been written: once the head is out, too, nobody else writes.
        pull(controller) {
          if (close !== undefined) return;
          if (!outgoing.headersSent) return controller.enqueue(Buffer.from(':\n\n'));
          const end = () => {
            clearInterval(recheck);
            controller.close();
          };
          ({ close } = feed.subscribe(request, { ...createSink(outgoing), end, drop }));
          // Pending for as long as the stream is open, so that it is not asked again.
          return new Promise<void>((resolve) => outgoing.once('close', resolve));
        },
        cancel: over,
      },
      { highWaterMark: 0 },
    );
  }

  return router;
}

function createSink(outgoing: ServerResponse): Pick<FeedSink, 'write' | 'hasRoom'> {
  const isFull = () => outgoing.writableLength >= MAX_HELD_BYTES;
  return {
    write(bytes) {
      if (isFull() || outgoing.destroyed) return false;
      outgoing.write(bytes);
      return true;
    },
    hasRoom() {
      if (!isFull() || outgoing.destroyed) return Promise.resolve();
      return new Promise((resolve) => {
        const settle = () => {
          outgoing.off('drain', settle).off('close', settle);
          resolve();
        };
        outgoing.on('drain', settle).on('close', settle);
      });
    },
  };
}

const RECONNECT_MS = 2000;
const RECHECK_MS = 15_000;
