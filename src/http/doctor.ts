import { createRoute, type OpenAPIHono } from '@hono/zod-openapi';
import { reportSchema } from '../doctor/report.ts';
import { answer, createRouter, problems } from './openapi.ts';
import type { Services } from './services.ts';

/** What `mailgress doctor` says, of the process that is asked. */
export function doctorRoutes({ doctor }: Services): OpenAPIHono {
  const router = createRouter();

  router.openapi(
    createRoute({
      method: 'get',
      path: '/v1/doctor',
      tags: ['health'],
      summary: 'Look at everything that can be wrong: a line each, with what to do about it',
      description:
        'Takes seconds as a rule, and a minute and a half at worst. One run at a time: who asks meanwhile gets the same answer. Not for a key of a tenant.',
      responses: { 200: answer('What was found', reportSchema), ...problems(401) },
    }),
    async (c) => {
      c.header('cache-control', 'no-store');
      return c.json(await doctor(), 200);
    },
  );

  return router;
}
