import type { OpenAPIHono } from '@hono/zod-openapi';
import { createRoute } from '@hono/zod-openapi';
import { z } from 'zod';
import { MailgressError } from '../core/errors.ts';
import { readSchemaState } from '../store/migrate.ts';
import { answer, createRouter, problems } from './openapi.ts';
import type { Services } from './services.ts';
import { sharedLook } from './shared-look.ts';

/** Render takes no answer within 5 s for a bad one (https://render.com/docs/health-checks). */
const READY_DEADLINE_MS = 4000;

const okSchema = z.object({ status: z.literal('ok') });

/** `/healthz`: the process lives. `/readyz`: it can take mail. */
export function healthRoutes({ database }: Services): OpenAPIHono {
  const router = createRouter();
  // By a connection of its own: whoever restarts what is not ready would else end a service that is merely busy.
  const lookAtSchema = sharedLook(() =>
    database.inTime(readSchemaState(database.probe), Math.min(READY_DEADLINE_MS, database.deadlineMs)),
  );

  router.openapi(
    createRoute({
      method: 'get',
      path: '/healthz',
      tags: ['health'],
      summary: 'Alive, whatever the database does',
      security: [],
      responses: { 200: answer('Alive', okSchema) },
    }),
    (c) => c.json({ status: 'ok' } as const, 200),
  );

  router.openapi(
    createRoute({
      method: 'get',
      path: '/readyz',
      tags: ['health'],
      summary: 'Ready: the database answers and is migrated',
      security: [],
      responses: { 200: answer('Ready', okSchema), ...problems(503) },
    }),
    async (c) => {
      const schema = await lookAtSchema();
      if (schema.state === 'behind') {
        throw new MailgressError('database_behind', `The database lacks ${schema.missing} migrations`);
      }
      return c.json({ status: 'ok' } as const, 200);
    },
  );

  return router;
}
