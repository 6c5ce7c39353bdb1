import { createRoute, type OpenAPIHono } from '@hono/zod-openapi';
import { z } from 'zod';
import { stubSchema } from '../core/resources.ts';
import { findSource } from '../store/sources.ts';
import { listStubs } from '../store/stubs.ts';
import { answer, createRouter, pathId, problems } from './openapi.ts';
import { pageQuery, pageSchema, parsePage, printPage } from './page.ts';
import { principalOf } from './principal.ts';
import { notFound } from './problem.ts';
import type { Services } from './services.ts';

/** Nothing is skipped in silence: what a source could not store, and why. */
export function stubRoutes({ database: { sql } }: Services): OpenAPIHono {
  const router = createRouter();

  router.openapi(
    createRoute({
      method: 'get',
      path: '/v1/sources/{id}/stubs',
      tags: ['sources'],
      summary: 'List the mails that were not stored, newest first, with the reason',
      request: {
        params: z.object({ id: z.string() }),
        query: z.strictObject({ ...pageQuery, status: stubSchema.shape.status.optional() }),
      },
      responses: { 200: answer('A page', pageSchema(stubSchema)), ...problems(400, 401, 404) },
    }),
    async (c) => {
      const { id } = c.req.valid('param');
      const { status, ...query } = c.req.valid('query');
      const sourceId = pathId('src', 'source', id);
      const page = await listStubs(sql, sourceId, { ...parsePage(principalOf(c), 'stb', query), status });
      if (page.data.length === 0 && (await findSource(sql, sourceId)) === undefined)
        throw notFound(`source ${id}`);
      return c.json(printPage(page), 200);
    },
  );

  return router;
}
