import { createRoute, type OpenAPIHono } from '@hono/zod-openapi';
import { z } from 'zod';
import { apiKeySchema, roleSchema } from '../core/api-key.ts';
import { createApiKey, deleteApiKey, findApiKey, listApiKeys } from '../store/api-keys.ts';
import { tenantField, textField } from './fields.ts';
import { answer, createRouter, jsonBody, pathId, problems } from './openapi.ts';
import { pageQuery, pageSchema, parsePage, printPage } from './page.ts';
import { principalOf } from './principal.ts';
import { notFound } from './problem.ts';
import type { Services } from './services.ts';

const params = z.object({ id: z.string() });
const tags = ['keys'];

/** Keys beside the admin key. One of a tenant makes, sees and takes back those of its tenant alone. */
export function keyRoutes({ database: { sql } }: Services): OpenAPIHono {
  const router = createRouter();
  const idOf = (text: string) => pathId('key', 'key', text);

  router.openapi(
    createRoute({
      method: 'post',
      path: '/v1/keys',
      tags,
      summary: 'Make a key',
      request: {
        body: jsonBody(
          z.strictObject({
            role: roleSchema.describe(
              'reader: sees everything but secrets; operator: also changes everything but keys; admin: also keys',
            ),
            tenant: tenantField
              .nullable()
              .optional()
              .describe('Null: all tenants. Default: that of the key that asks'),
            description: textField(1000).default(''),
          }),
        ),
      },
      responses: {
        201: answer(
          'The key',
          apiKeySchema.extend({ key: z.string().describe('`mgk_...`: shown now and not again') }),
        ),
        ...problems(400, 401),
      },
    }),
    async (c) => {
      const { role, tenant = principalOf(c).tenant, description } = c.req.valid('json');
      const { apiKey, key } = await createApiKey(sql, { role, tenant, description });
      c.header('cache-control', 'no-store');
      return c.json({ ...apiKey, key }, 201);
    },
  );

  router.openapi(
    createRoute({
      method: 'get',
      path: '/v1/keys',
      tags,
      summary: 'List keys, newest first',
      request: { query: z.strictObject(pageQuery) },
      responses: { 200: answer('A page', pageSchema(apiKeySchema)), ...problems(400, 401) },
    }),
    async (c) => {
      const page = await listApiKeys(sql, parsePage(principalOf(c), 'key', c.req.valid('query')));
      return c.json(printPage(page), 200);
    },
  );

  router.openapi(
    createRoute({
      method: 'get',
      path: '/v1/keys/{id}',
      tags,
      summary: 'Get a key: its role, and when it was last used',
      request: { params },
      responses: { 200: answer('The key', apiKeySchema), ...problems(401, 404) },
    }),
    async (c) => {
      const { id } = c.req.valid('param');
      const apiKey = await findApiKey(sql, idOf(id));
      if (apiKey === undefined) throw notFound(`key ${id}`);
      return c.json(apiKey, 200);
    },
  );

  router.openapi(
    createRoute({
      method: 'delete',
      path: '/v1/keys/{id}',
      tags,
      summary: 'Revoke a key; its next request is refused',
      request: { params },
      responses: { 204: { description: 'Revoked' }, ...problems(401, 404) },
    }),
    async (c) => {
      const { id } = c.req.valid('param');
      if (!(await deleteApiKey(sql, idOf(id)))) throw notFound(`key ${id}`);
      return c.body(null, 204);
    },
  );

  return router;
}
