import { createRoute, type OpenAPIHono } from '@hono/zod-openapi';
import { z } from 'zod';
import { endpointSchema } from '../core/resources.ts';
import {
  createEndpoint,
  deleteEndpoint,
  disableEndpoint,
  enableEndpoint,
  findEndpoint,
  listEndpoints,
  queueTestEvent,
  rotateEndpointSecret,
  updateEndpoint,
} from '../store/endpoints.ts';
import { checkUrl, endpointChangeSchema, endpointSettingsSchema } from './endpoint-settings.ts';
import { answer, createRouter, jsonBody, pathId, problems } from './openapi.ts';
import { pageQuery, pageSchema, parsePage, printPage } from './page.ts';
import { principalOf } from './principal.ts';
import { notFound } from './problem.ts';
import type { Services } from './services.ts';

/** With what only creation and rotation answer. */
const endpointWithSecretSchema = endpointSchema.extend({
  secret: z.string().describe('`whsec_...`, to verify our signatures with: shown now and not again'),
});

const params = z.object({ id: z.string() });
const tags = ['endpoints'];

export function endpointRoutes(services: Services): OpenAPIHono {
  const { database, keyring, egress, wakeDispatcher } = services;
  const router = createRouter();
  const { sql } = database;
  const idOf = (text: string) => pathId('ep', 'endpoint', text);

  router.openapi(
    createRoute({
      method: 'post',
      path: '/v1/endpoints',
      tags,
      summary: 'Send events to a URL',
      request: { body: jsonBody(endpointSettingsSchema) },
      responses: { 201: answer('The endpoint', endpointWithSecretSchema), ...problems(400, 401) },
    }),
    async (c) => {
      const { tenant = principalOf(c).tenant, ...given } = c.req.valid('json');
      const settings = { tenant, ...given };
      checkUrl(egress, settings.url);
      const { endpoint, secret } = await createEndpoint(sql, keyring, settings);
      return c.json({ ...endpoint, secret }, 201);
    },
  );

  router.openapi(
    createRoute({
      method: 'get',
      path: '/v1/endpoints',
      tags,
      summary: 'List endpoints, newest first',
      request: { query: z.strictObject(pageQuery) },
      responses: { 200: answer('A page', pageSchema(endpointSchema)), ...problems(400, 401) },
    }),
    async (c) =>
      c.json(printPage(await listEndpoints(sql, parsePage(principalOf(c), 'ep', c.req.valid('query')))), 200),
  );

  router.openapi(
    createRoute({
      method: 'get',
      path: '/v1/endpoints/{id}',
      tags,
      summary: 'Get an endpoint',
      request: { params },
      responses: { 200: answer('The endpoint', endpointSchema), ...problems(401, 404) },
    }),
    async (c) => {
      const { id } = c.req.valid('param');
      const endpoint = await findEndpoint(sql, idOf(id));
      if (endpoint === undefined) throw notFound(`endpoint ${id}`);
      return c.json(endpoint, 200);
    },
  );

  router.openapi(
    createRoute({
      method: 'patch',
      path: '/v1/endpoints/{id}',
      tags,
      summary: 'Change an endpoint; new rules hold for what still waits',
      request: { params, body: jsonBody(endpointChangeSchema) },
      responses: { 200: answer('The endpoint', endpointSchema), ...problems(400, 401, 404) },
    }),
    async (c) => {
      const { id } = c.req.valid('param');
      const change = c.req.valid('json');
      if (change.url !== undefined) checkUrl(egress, change.url);
      const endpoint = await updateEndpoint(sql, keyring, idOf(id), change);
      if (endpoint === undefined) throw notFound(`endpoint ${id}`);
      wakeDispatcher();
      return c.json(endpoint, 200);
    },
  );

  router.openapi(
    createRoute({
      method: 'delete',
      path: '/v1/endpoints/{id}',
      tags,
      summary: 'Delete an endpoint and what is still to be sent to it',
      request: { params },
      responses: { 204: { description: 'Deleted' }, ...problems(401, 404) },
    }),
    async (c) => {
      const { id } = c.req.valid('param');
      if (!(await deleteEndpoint(sql, idOf(id)))) throw notFound(`endpoint ${id}`);
      return c.body(null, 204);
    },
  );

  router.openapi(
    createRoute({
      method: 'post',
      path: '/v1/endpoints/{id}/rotate-secret',
      tags,
      summary:
        'Make a new secret; for another 24 hours each webhook carries the signature of the one before too',
      request: { params },
      responses: { 200: answer('The endpoint', endpointWithSecretSchema), ...problems(401, 404) },
    }),
    async (c) => {
      const { id } = c.req.valid('param');
      const rotated = await rotateEndpointSecret(sql, keyring, idOf(id));
      if (rotated === undefined) throw notFound(`endpoint ${id}`);
      return c.json({ ...rotated.endpoint, secret: rotated.secret }, 200);
    },
  );

  for (const [verb, change, summary] of [
    ['enable', (id: string) => enableEndpoint(sql, idOf(id)), 'Send again, first what is pending'],
    [
      'disable',
      (id: string) => disableEndpoint(sql, idOf(id), 'disabled by request'),
      'Stop sending, and keep what is pending',
    ],
  ] as const) {
    router.openapi(
      createRoute({
        method: 'post',
        path: `/v1/endpoints/{id}/${verb}`,
        tags,
        summary,
        request: { params },
        responses: { 200: answer('The endpoint', endpointSchema), ...problems(401, 404) },
      }),
      async (c) => {
        const { id } = c.req.valid('param');
        const endpoint = await change(id);
        if (endpoint === undefined) throw notFound(`endpoint ${id}`);
        wakeDispatcher();
        return c.json(endpoint, 200);
      },
    );
  }

  router.openapi(
    createRoute({
      method: 'post',
      path: '/v1/endpoints/{id}/test',
      tags,
      summary: 'Send an `endpoint.test` event to this endpoint alone',
      request: { params },
      responses: {
        202: answer(
          'Queued; GET /v1/deliveries/{deliveryId} tells how it went',
          z.object({ eventId: z.string(), deliveryId: z.string() }),
        ),
        ...problems(401, 404),
      },
    }),
    async (c) => {
      const { id } = c.req.valid('param');
      const queued = await queueTestEvent(sql, idOf(id));
      if (queued === undefined) throw notFound(`endpoint ${id}`);
      wakeDispatcher();
      return c.json(queued, 202);
    },
  );

  return router;
}
