import { createRoute, type OpenAPIHono } from '@hono/zod-openapi';
import { z } from 'zod';
import { MailgressError } from '../core/errors.ts';
import { gapSchema, type Source, sourceSchema } from '../core/resources.ts';
import { requestBackfill } from '../store/gap-filling.ts';
import { listGaps } from '../store/gaps.ts';
import { resetSource } from '../store/gmail-sources.ts';
import { findSource, isPushingKind, makeSourceDue } from '../store/sources.ts';
import { idField, sinceField } from './fields.ts';
import { answer, createRouter, jsonBody, pathId, problems } from './openapi.ts';
import { pageQuery, pageSchema, parsePage, printPage } from './page.ts';
import { principalOf } from './principal.ts';
import { notFound } from './problem.ts';
import type { Services } from './services.ts';

const params = z.object({ id: z.string() });

/** How far a source has read: looking now, reading old mail again, and what could not be read. */
export function sourceSyncRoutes({ database: { sql }, imap, wakeSync }: Services): OpenAPIHono {
  const router = createRouter();

  /** @throws MailgressError `not_found`, or `conflict` for a source whose program comes to us. */
  async function findRead(id: string): Promise<{ sourceId: ReturnType<typeof idOf>; source: Source }> {
    const sourceId = idOf(id);
    const source = await findSource(sql, sourceId);
    if (source === undefined) throw notFound(`source ${id}`);
    if (isPushingKind(source.kind)) {
      throw new MailgressError(
        'conflict',
        `Source ${id} is of kind ${source.kind}: its program decides what it sends`,
      );
    }
    return { sourceId, source };
  }

  router.openapi(
    createRoute({
      method: 'post',
      path: '/v1/sources/{id}/sync',
      tags: ['sources'],
      summary: 'Look for mail now; with `since`, also for old mail that is not stored',
      request: { params, body: jsonBody(z.strictObject({ since: sinceField.optional() })) },
      responses: { 202: answer('The source', sourceSchema), ...problems(400, 401, 404, 409) },
    }),
    async (c) => {
      const { id } = c.req.valid('param');
      const { since } = c.req.valid('json');
      const { sourceId, source } = await findRead(id);
      if (!source.wanted)
        throw new MailgressError('source_stopped', `Source ${id} is stopped; start it first`);
      if (since === undefined) await makeSourceDue(sql, sourceId);
      else await requestBackfill(sql, sourceId, since);
      if (source.kind === 'imap') imap.wake();
      else wakeSync();
      return c.json(source, 202);
    },
  );

  router.openapi(
    createRoute({
      method: 'post',
      path: '/v1/sources/{id}/reset',
      tags: ['sources'],
      summary:
        'Forget how far it has read, and read again from the last good look on; nothing is stored twice',
      request: { params },
      responses: { 200: answer('The source', sourceSchema), ...problems(401, 404, 409) },
    }),
    async (c) => {
      const { id } = c.req.valid('param');
      const { sourceId, source: before } = await findRead(id);
      const source = before.kind === 'imap' ? await imap.reset(sourceId) : await resetSource(sql, sourceId);
      if (source === undefined) throw notFound(`source ${id}`);
      wakeSync();
      return c.json(source, 200);
    },
  );

  router.openapi(
    createRoute({
      method: 'get',
      path: '/v1/gaps',
      tags: ['sources'],
      summary: 'List stretches of history that could not be read, newest first, and how they were recovered',
      request: {
        query: z.strictObject({
          ...pageQuery,
          source: idField('src').optional(),
          mailbox: idField('mbx').optional(),
          open: z.enum(['true', 'false']).optional(),
        }),
      },
      responses: { 200: answer('A page', pageSchema(gapSchema)), ...problems(400, 401) },
    }),
    async (c) => {
      const { source: sourceId, mailbox: mailboxId, open, ...query } = c.req.valid('query');
      const isOpen = open === undefined ? undefined : open === 'true';
      const page = await listGaps(sql, {
        ...parsePage(principalOf(c), 'gap', query),
        sourceId,
        mailboxId,
        isOpen,
      });
      return c.json(printPage(page), 200);
    },
  );

  return router;
}

function idOf(text: string) {
  return pathId('src', 'source', text);
}
