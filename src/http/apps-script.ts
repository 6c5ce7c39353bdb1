import { createRoute, type OpenAPIHono } from '@hono/zod-openapi';
import { z } from 'zod';
import { MailgressError } from '../core/errors.ts';
import { fillInScript } from '../sources/apps-script/script.ts';
import { findIngressSource } from '../store/sources.ts';
import { createRouter, pathId, problems } from './openapi.ts';
import { notFound } from './problem.ts';
import type { Services } from './services.ts';

/** The Apps Script of a source, ready to paste. */
export function appsScriptRoutes(services: Services): OpenAPIHono {
  const { database, keyring, publicUrl, version, bodyLimitBytes } = services;
  const router = createRouter();

  router.openapi(
    createRoute({
      method: 'get',
      path: '/v1/sources/{id}/apps-script',
      tags: ['sources'],
      summary: 'Get the Apps Script of a source, filled in and ready to paste',
      description: "It holds the source's secret. Sources of other kinds have no script: 409.",
      request: { params: z.object({ id: z.string() }) },
      responses: {
        200: { description: 'The script', content: { 'text/javascript': { schema: z.string() } } },
        ...problems(401, 404, 409),
      },
    }),
    async (c) => {
      const { id } = c.req.valid('param');
      const source = await findIngressSource(database.sql, keyring, pathId('src', 'source', id));
      if (source === undefined) throw notFound(`source ${id}`);
      const [secret] = source.secrets;
      if (secret === undefined || source.kind !== 'apps-script') {
        throw new MailgressError('conflict', `Source ${id} is of kind ${source.kind}, which has no script`);
      }
      const { address } = source;
      const url = publicUrl();
      const script = fillInScript({ url, sourceId: id, secret, address, version, bodyLimitBytes });
      return c.body(script, 200, {
        'content-type': 'text/javascript; charset=utf-8',
        'content-disposition': 'attachment; filename="Code.js"',
        'x-content-type-options': 'nosniff',
        'cache-control': 'no-store',
      });
    },
  );

  return router;
}
