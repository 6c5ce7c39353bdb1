import { createRoute, type OpenAPIHono } from '@hono/zod-openapi';
import { z } from 'zod';
import { attemptSchema, deliverySchema, deliveryStatusSchema } from '../core/resources.ts';
import { findDelivery, listDeliveries, retryDelivery } from '../store/deliveries.ts';
import { idField, sinceField } from './fields.ts';
import { answer, createRouter, pathId, problems } from './openapi.ts';
import { pageQuery, pageSchema, parsePage, printPage } from './page.ts';
import { principalOf } from './principal.ts';
import { notFound } from './problem.ts';
import type { Services } from './services.ts';

const deliveryWithAttemptsSchema = deliverySchema.extend({ attempts: z.array(attemptSchema) });
const params = z.object({ id: z.string() });
const tags = ['deliveries'];

export function deliveryRoutes({ database: { sql }, wakeDispatcher }: Services): OpenAPIHono {
  const router = createRouter();
  const idOf = (text: string) => pathId('dlv', 'delivery', text);

  router.openapi(
    createRoute({
      method: 'get',
      path: '/v1/deliveries',
      tags,
      summary: 'List deliveries, newest first',
      request: {
        query: z.strictObject({
          ...pageQuery,
          endpoint: idField('ep').optional(),
          status: deliveryStatusSchema.optional(),
          since: sinceField.optional().describe('Those queued from then on'),
        }),
      },
      responses: { 200: answer('A page', pageSchema(deliverySchema)), ...problems(400, 401) },
    }),
    async (c) => {
      const { endpoint: endpointId, status, since, ...query } = c.req.valid('query');
      const page = await listDeliveries(sql, {
        ...parsePage(principalOf(c), 'dlv', query),
        endpointId,
        status,
        since,
      });
      return c.json(printPage(page), 200);
    },
  );

  router.openapi(
    createRoute({
      method: 'get',
      path: '/v1/deliveries/{id}',
      tags,
      summary: 'Get a delivery with every attempt',
      request: { params },
      responses: { 200: answer('The delivery', deliveryWithAttemptsSchema), ...problems(401, 404) },
    }),
    async (c) => {
      const { id } = c.req.valid('param');
      const delivery = await findDelivery(sql, idOf(id));
      if (delivery === undefined) throw notFound(`delivery ${id}`);
      return c.json(delivery, 200);
    },
  );

  router.openapi(
    createRoute({
      method: 'post',
      path: '/v1/deliveries/{id}/retry',
      tags,
      summary:
        'Try again now, whatever became of it and whatever rules say, also if its replay was cancelled',
      request: { params },
      responses: { 202: answer('The delivery', deliveryWithAttemptsSchema), ...problems(401, 404, 409) },
    }),
    async (c) => {
      const { id } = c.req.valid('param');
      const delivery = (await retryDelivery(sql, idOf(id))) ? await findDelivery(sql, idOf(id)) : undefined;
      if (delivery === undefined) throw notFound(`delivery ${id}`);
      wakeDispatcher();
      return c.json(delivery, 202);
    },
  );

  return router;
}
