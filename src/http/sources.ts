import { createRoute, type OpenAPIHono } from '@hono/zod-openapi';
import { z } from 'zod';
import { credentialsSchema } from '../core/credentials.ts';
import { MailgressError } from '../core/errors.ts';
import { gmailSettingsSchema, type Source, sourceSchema, sourceStateSchema } from '../core/resources.ts';
import {
  createSource,
  deleteSource,
  findSource,
  isPushingKind,
  listSources,
  rotateSourceSecret,
  setSourceWanted,
} from '../store/sources.ts';
import { idField, sinceField, tenantField } from './fields.ts';
import { imapChangeSchema, imapSourceSchema, newImapSourceSchema, settingsOf } from './imap-sources.ts';
import { answer, createRouter, faultsOf, jsonBody, pathId, problems } from './openapi.ts';
import { pageQuery, pageSchema, parsePage, printPage } from './page.ts';
import { principalOf } from './principal.ts';
import { notFound } from './problem.ts';
import type { Services } from './services.ts';

/** With what only creation and rotation answer. */
const sourceWithSecretSchema = sourceSchema.extend({
  secret: z.string().describe('`whsec_...`: shown now and not again'),
  ingestUrl: z.string(),
});

const params = z.object({ id: z.string() });
const tags = ['sources'];

const newSourceSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.enum(['apps-script', 'raw']) }),
  z.strictObject({
    kind: z.literal('gmail'),
    auth: credentialsSchema,
    since: sinceField
      .optional()
      .describe('Mail from then on is read too; without it, what arrives from now on'),
    settings: gmailSettingsSchema.default({}),
  }),
  newImapSourceSchema,
]);

const gmailChangeSchema = z.strictObject({
  auth: credentialsSchema.optional(),
  settings: gmailSettingsSchema.optional(),
});

/** Its kind says which: what is wrong is told by that one alone. */
const changeSchema = z.union([
  gmailChangeSchema,
  imapChangeSchema,
  z.looseObject({}).describe('Refused, for a source of kind gmail or imap takes one of the others'),
]);

export function sourceRoutes(services: Services): OpenAPIHono {
  const { database, keyring, ingressSources, publicUrl, gmail, imap, wakeSync } = services;
  const router = createRouter();
  const { sql } = database;
  const idOf = (text: string) => pathId('src', 'source', text);
  const withSecret = ({ source, secret }: { source: Source; secret: string }) => ({
    ...source,
    secret,
    ingestUrl: `${publicUrl()}/v1/ingest/${source.kind}/${source.id}`,
  });

  router.openapi(
    createRoute({
      method: 'post',
      path: '/v1/mailboxes/{id}/sources',
      tags,
      summary: 'Add a way for mail to come in',
      description: 'The secret and URL to push to are answered for the kinds that push.',
      request: { params, body: jsonBody(newSourceSchema) },
      responses: {
        201: answer('The source', z.union([sourceWithSecretSchema, imapSourceSchema, sourceSchema])),
        ...problems(400, 401, 404, 409, 503),
      },
    }),
    async (c) => {
      const { id } = c.req.valid('param');
      const mailboxId = pathId('mbx', 'mailbox', id);
      const body = c.req.valid('json');
      if (body.kind === 'gmail') {
        const { auth: credentials, settings, since } = body;
        const source = await gmail.create(mailboxId, { credentials, settings, since });
        if (source === undefined) throw notFound(`mailbox ${id}`);
        return c.json(source, 201);
      }
      if (body.kind === 'imap') {
        const made = await imap.create(mailboxId, { ...body, settings: settingsOf(body) });
        if (made === undefined) throw notFound(`mailbox ${id}`);
        return c.json(withReport(made), 201);
      }
      const created = await createSource(sql, keyring, { mailboxId, kind: body.kind });
      if (created === undefined) throw notFound(`mailbox ${id}`);
      return c.json(withSecret(created), 201);
    },
  );

  router.openapi(
    createRoute({
      method: 'get',
      path: '/v1/sources',
      tags,
      summary: 'List sources, newest first',
      request: {
        query: z.strictObject({
          ...pageQuery,
          mailbox: idField('mbx').optional(),
          tenant: tenantField.optional(),
          state: sourceStateSchema.optional(),
        }),
      },
      responses: { 200: answer('A page', pageSchema(sourceSchema)), ...problems(400, 401) },
    }),
    async (c) => {
      const { mailbox: mailboxId, tenant, state, ...query } = c.req.valid('query');
      const page = await listSources(sql, {
        ...parsePage(principalOf(c), 'src', query),
        mailboxId,
        tenant,
        state,
      });
      return c.json(printPage(page), 200);
    },
  );

  router.openapi(
    createRoute({
      method: 'get',
      path: '/v1/sources/{id}',
      tags,
      summary: 'Get a source: its state, and when it was last proven alive',
      request: { params },
      responses: { 200: answer('The source', sourceSchema), ...problems(401, 404) },
    }),
    async (c) => {
      const { id } = c.req.valid('param');
      const source = await findSource(sql, idOf(id));
      if (source === undefined) throw notFound(`source ${id}`);
      return c.json(source, 200);
    },
  );

  router.openapi(
    createRoute({
      method: 'patch',
      path: '/v1/sources/{id}',
      tags,
      summary: 'Change the credentials or settings of a source that reads; new credentials start it again',
      request: {
        params,
        body: jsonBody(changeSchema),
      },
      responses: {
        200: answer('The source', z.union([imapSourceSchema, sourceSchema])),
        ...problems(400, 401, 404, 409, 503),
      },
    }),
    async (c) => {
      const { id } = c.req.valid('param');
      const source = await findSource(sql, idOf(id));
      if (source === undefined) {
        parseChange(z.union([gmailChangeSchema, imapChangeSchema]), await c.req.json());
        throw notFound(`source ${id}`);
      }
      if (source.kind === 'imap') {
        const { auth, ...given } = parseChange(imapChangeSchema, await c.req.json());
        const changed = await imap.change(idOf(id), { auth, settings: settingsOf(given) });
        if (changed === undefined) throw notFound(`source ${id}`);
        return c.json(withReport(changed), 200);
      }
      if (source.kind !== 'gmail') {
        throw new MailgressError('conflict', `Source ${id} is of kind ${source.kind}, which has neither`);
      }
      const { auth: credentials, settings } = parseChange(gmailChangeSchema, await c.req.json());
      const changed = await gmail.change(
        { id: idOf(id), address: source.address },
        { credentials, settings },
      );
      if (changed === undefined) throw notFound(`source ${id}`);
      return c.json(changed, 200);
    },
  );

  router.openapi(
    createRoute({
      method: 'delete',
      path: '/v1/sources/{id}',
      tags,
      summary: 'Delete a source; the mail that came through it stays',
      request: { params },
      responses: { 204: { description: 'Deleted' }, ...problems(401, 404) },
    }),
    async (c) => {
      const { id } = c.req.valid('param');
      const endWatches = await gmail.prepareEnd({ sourceId: idOf(id) });
      if (!(await deleteSource(sql, idOf(id)))) throw notFound(`source ${id}`);
      ingressSources.forget(idOf(id));
      void endWatches();
      return c.body(null, 204);
    },
  );

  for (const [verb, isWanted, summary] of [
    ['start', true, 'Take or read mail again'],
    ['stop', false, 'Refuse mail (409), so that the sender keeps it, or read no more'],
  ] as const) {
    router.openapi(
      createRoute({
        method: 'post',
        path: `/v1/sources/{id}/${verb}`,
        tags,
        summary,
        request: { params },
        responses: { 200: answer('The source', sourceSchema), ...problems(401, 404) },
      }),
      async (c) => {
        const { id } = c.req.valid('param');
        const endWatches = isWanted ? undefined : await gmail.prepareEnd({ sourceId: idOf(id) });
        const source = await setSourceWanted(sql, idOf(id), isWanted);
        if (source === undefined) throw notFound(`source ${id}`);
        ingressSources.forget(idOf(id));
        if (isWanted) wakeSync();
        if (source.kind === 'imap') imap.wake();
        void endWatches?.();
        return c.json(source, 200);
      },
    );
  }

  router.openapi(
    createRoute({
      method: 'post',
      path: '/v1/sources/{id}/rotate-secret',
      tags,
      summary: 'Make a new secret; the old one counts for another 24 hours',
      request: { params },
      responses: { 200: answer('The source', sourceWithSecretSchema), ...problems(401, 404, 409) },
    }),
    async (c) => {
      const { id } = c.req.valid('param');
      const rotated = await rotateSourceSecret(sql, keyring, idOf(id));
      if (rotated === undefined) throw notFound(`source ${id}`);
      if (!isPushingKind(rotated.source.kind)) {
        throw new MailgressError('conflict', `Source ${id} has no secret: nothing pushes to it`);
      }
      ingressSources.forget(idOf(id));
      return c.json(withSecret(rotated), 200);
    },
  );

  return router;
}

function withReport({ source, report }: NonNullable<Awaited<ReturnType<Services['imap']['create']>>>) {
  const { idle, capabilities, available, folders } = report;
  return {
    ...source,
    report: { idle, capabilities, available, folders: folders.map(({ path }) => path) },
  };
}

/** What a source can change depends on its kind, which its id does not tell. */
function parseChange<T>(schema: z.ZodType<T>, body: unknown): T {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const faults = faultsOf(parsed.error);
  throw new MailgressError('bad_request', 'The body is not as a source of this kind takes it', { faults });
}
