import type { OpenAPIHono } from '@hono/zod-openapi';
import { z } from 'zod';
import { describeError, MailgressError } from '../core/errors.ts';
import { parsePush, pushBodySchema } from '../sources/gmail/push.ts';
import { createRouter, problems } from './openapi.ts';
import { refuse } from './refuse.ts';
import type { Services } from './services.ts';

/** Gmail's pushes have some 300 bytes. */
const BODY_LIMIT_BYTES = 256 * 1024;

/**
 * The door for Gmail's pushes. A 204 says that the hint is durable; to everything else Pub/Sub sends the push again
 * (https://cloud.google.com/pubsub/docs/push), so that nothing is asked of Google here.
 */
export function pubsubRoutes({ pubsub, database, bodies, log }: Services): OpenAPIHono {
  const router = createRouter();
  // Registered beside the handler and not through it: nothing looks into the body before the token is verified.
  router.openAPIRegistry.registerPath({
    method: 'post',
    path: '/v1/ingest/pubsub',
    tags: ['ingest'],
    summary: 'A push of Gmail, through Google Pub/Sub',
    description: 'With a token of the service account that the subscription pushes as; wrapped or unwrapped',
    security: [],
    request: {
      headers: z.object({ authorization: z.string() }),
      body: { required: true, content: { 'application/json': { schema: pushBodySchema } } },
    },
    responses: {
      204: { description: 'Kept, or for an address that nobody watches' },
      ...problems(400, 401, 408, 413, 503),
    },
  });

  let unwatched = 0;
  router.post('/v1/ingest/pubsub', async (c) => {
    if (pubsub === undefined) {
      throw new MailgressError(
        'pubsub_not_configured',
        'Set MAILGRESS_PUBSUB_AUDIENCE and MAILGRESS_PUBSUB_SERVICE_ACCOUNT to take pushes',
      );
    }
    await pubsub.verifyToken(c.req.header('authorization')).catch((error) => {
      // The answer says no more than that, and most often it is a setting.
      if (error instanceof MailgressError && error.code === 'unauthorized') {
        log.info({ reason: describeError(error.cause) }, 'push refused');
      }
      return refuse(c.req.raw, error);
    });
    const { bytes, release } = await bodies.read(c.req.raw, BODY_LIMIT_BYTES);
    // A hint is a few bytes, and has a queue with bounds of its own.
    release();
    const sources = await database.inTime(pubsub.hints.submit(parsePush(bytes)));
    if (sources === 0) log.debug({ count: ++unwatched }, 'push for an address that nobody watches');
    return c.body(null, 204);
  });
  return router;
}
