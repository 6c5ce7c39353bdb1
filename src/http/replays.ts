import { createRoute, type OpenAPIHono } from '@hono/zod-openapi';
import { z } from 'zod';
import { MailgressError } from '../core/errors.ts';
import { replaySchema } from '../core/resources.ts';
import { readClock } from '../store/clock.ts';
import { retryFailed } from '../store/deliveries.ts';
import { findEndpoint } from '../store/endpoints.ts';
import { cancelReplay, createReplay, findReplay, listReplays } from '../store/replays.ts';
import { idField, sinceField } from './fields.ts';
import { answer, createRouter, jsonBody, pathId, problems } from './openapi.ts';
import { pageQuery, pageSchema, parsePage, printPage } from './page.ts';
import { principalOf } from './principal.ts';
import { notFound } from './problem.ts';
import type { Services } from './services.ts';

const params = z.object({ id: z.string() });

/** Sending again: what was given up, and any stretch of old events. */
export function replayRoutes({ database: { sql }, wakeDispatcher }: Services): OpenAPIHono {
  const router = createRouter();
  const replayIdOf = (text: string) => pathId('rpl', 'replay', text);
  const endpointIdOf = (text: string) => pathId('ep', 'endpoint', text);

  router.openapi(
    createRoute({
      method: 'post',
      path: '/v1/endpoints/{id}/retry',
      tags: ['endpoints'],
      summary: 'Try once more, now, what was given up since then, but for what is of a cancelled replay',
      request: { params, body: jsonBody(z.strictObject({ since: sinceField })) },
      responses: {
        202: answer('How many deliveries are due again', z.object({ retried: z.int() })),
        ...problems(400, 401, 404),
      },
    }),
    async (c) => {
      const { id } = c.req.valid('param');
      const { since } = c.req.valid('json');
      const endpointId = endpointIdOf(id);
      if ((await findEndpoint(sql, endpointId)) === undefined) throw notFound(`endpoint ${id}`);
      let retried = 0;
      // What fails again meanwhile has failed since then too, and is not for this call.
      const before = await readClock(sql);
      for (let part = 1; part > 0; retried += part)
        part = await retryFailed(sql, endpointId, { since, before });
      wakeDispatcher();
      return c.json({ retried }, 202);
    },
  );

  router.openapi(
    createRoute({
      method: 'post',
      path: '/v1/endpoints/{id}/replay',
      tags: ['endpoints'],
      summary: "Send old events of the endpoint's types again, also those from before it existed",
      request: {
        params,
        body: jsonBody(
          z.strictObject({
            since: sinceField,
            until: sinceField.optional().describe('Exclusive; absent: now'),
            mailbox: idField('mbx').optional().describe('Events of this one alone'),
            ignoreRules: z.boolean().default(false),
          }),
        ),
      },
      responses: {
        202: answer('The replay; GET /v1/replays/{id} tells how far it is', replaySchema),
        ...problems(400, 401, 404),
      },
    }),
    async (c) => {
      const { id } = c.req.valid('param');
      const { since, until = await readClock(sql), mailbox, ignoreRules } = c.req.valid('json');
      if (until <= since) {
        throw new MailgressError('bad_request', '`until` is not later than `since`', {
          faults: [{ path: 'until', message: 'must be later than `since`' }],
        });
      }
      const request = { since, until, mailboxId: mailbox ?? null, ignoresRules: ignoreRules };
      const replay = await createReplay(sql, endpointIdOf(id), request);
      if (replay === undefined) throw notFound(`endpoint ${id}`);
      wakeDispatcher();
      return c.json(replay, 202);
    },
  );

  router.openapi(
    createRoute({
      method: 'get',
      path: '/v1/replays',
      tags: ['replays'],
      summary: 'List replays, newest first',
      request: { query: z.strictObject({ ...pageQuery, endpoint: idField('ep').optional() }) },
      responses: { 200: answer('A page', pageSchema(replaySchema)), ...problems(400, 401) },
    }),
    async (c) => {
      const { endpoint: endpointId, ...query } = c.req.valid('query');
      return c.json(
        printPage(await listReplays(sql, { ...parsePage(principalOf(c), 'rpl', query), endpointId })),
        200,
      );
    },
  );

  router.openapi(
    createRoute({
      method: 'get',
      path: '/v1/replays/{id}',
      tags: ['replays'],
      summary: 'Tell how far a replay is',
      request: { params },
      responses: { 200: answer('The replay', replaySchema), ...problems(401, 404) },
    }),
    async (c) => {
      const { id } = c.req.valid('param');
      const replay = await findReplay(sql, replayIdOf(id));
      if (replay === undefined) throw notFound(`replay ${id}`);
      return c.json(replay, 200);
    },
  );

  router.openapi(
    createRoute({
      method: 'delete',
      path: '/v1/replays/{id}',
      tags: ['replays'],
      summary: 'End a replay; what of it still waits is left out',
      request: { params },
      responses: { 200: answer('The replay', replaySchema), ...problems(401, 404) },
    }),
    async (c) => {
      const { id } = c.req.valid('param');
      await cancelReplay(sql, replayIdOf(id));
      const replay = await findReplay(sql, replayIdOf(id));
      if (replay === undefined) throw notFound(`replay ${id}`);
      return c.json(replay, 200);
    },
  );

  return router;
}
