import { createRoute, type OpenAPIHono } from '@hono/zod-openapi';
import { z } from 'zod';
import { mailboxSchema } from '../core/resources.ts';
import {
  createMailbox,
  deleteMailbox,
  findMailbox,
  listMailboxes,
  updateMailbox,
} from '../store/mailboxes.ts';
import { isWithoutControls, tenantField } from './fields.ts';
import { answer, createRouter, jsonBody, pathId, problems } from './openapi.ts';
import { pageQuery, pageSchema, parsePage, printPage } from './page.ts';
import { principalOf } from './principal.ts';
import { notFound } from './problem.ts';
import type { Services } from './services.ts';

const address = z
  .string()
  .max(320)
  .regex(/^[^\s@]+@[^\s@]+$/, { error: 'must be a mail address', abort: true })
  .refine(isWithoutControls, { error: 'must be a mail address' });
/** RFC 8601, 2.5: a name as of a host, though it need not be one. */
const authenticationServers = z
  .array(
    z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$/, {
      error: 'must be an authserv-id, such as mx.example.com',
    }),
  )
  .max(20);
const params = z.object({ id: z.string() });
const tags = ['mailboxes'];

export function mailboxRoutes({ database, ingressSources, gmail }: Services): OpenAPIHono {
  const router = createRouter();
  const { sql } = database;
  const idOf = (text: string) => pathId('mbx', 'mailbox', text);

  router.openapi(
    createRoute({
      method: 'post',
      path: '/v1/mailboxes',
      tags,
      summary: 'Watch an address',
      request: {
        body: jsonBody(
          z.strictObject({
            tenant: tenantField.optional().describe("Default: the key's, else `default`"),
            address,
            authenticationServers: authenticationServers.default([]),
          }),
        ),
      },
      responses: { 201: answer('The mailbox', mailboxSchema), ...problems(400, 401, 409) },
    }),
    async (c) => {
      const { tenant = principalOf(c).tenant ?? 'default', ...input } = c.req.valid('json');
      return c.json(await createMailbox(sql, { tenant, ...input }), 201);
    },
  );

  router.openapi(
    createRoute({
      method: 'get',
      path: '/v1/mailboxes',
      tags,
      summary: 'List mailboxes, newest first',
      request: { query: z.strictObject(pageQuery) },
      responses: { 200: answer('A page', pageSchema(mailboxSchema)), ...problems(400, 401) },
    }),
    async (c) =>
      c.json(
        printPage(await listMailboxes(sql, parsePage(principalOf(c), 'mbx', c.req.valid('query')))),
        200,
      ),
  );

  router.openapi(
    createRoute({
      method: 'get',
      path: '/v1/mailboxes/{id}',
      tags,
      summary: 'Get a mailbox',
      request: { params },
      responses: { 200: answer('The mailbox', mailboxSchema), ...problems(401, 404) },
    }),
    async (c) => {
      const { id } = c.req.valid('param');
      const mailbox = await findMailbox(sql, idOf(id));
      if (mailbox === undefined) throw notFound(`mailbox ${id}`);
      return c.json(mailbox, 200);
    },
  );

  router.openapi(
    createRoute({
      method: 'patch',
      path: '/v1/mailboxes/{id}',
      tags,
      summary: 'Change a mailbox',
      request: {
        params,
        body: jsonBody(
          z.strictObject({
            address: address.optional(),
            authenticationServers: authenticationServers.optional(),
          }),
        ),
      },
      responses: { 200: answer('The mailbox', mailboxSchema), ...problems(400, 401, 404, 409) },
    }),
    async (c) => {
      const { id } = c.req.valid('param');
      const mailbox = await updateMailbox(sql, idOf(id), c.req.valid('json'));
      if (mailbox === undefined) throw notFound(`mailbox ${id}`);
      ingressSources.forgetAll();
      return c.json(mailbox, 200);
    },
  );

  router.openapi(
    createRoute({
      method: 'delete',
      path: '/v1/mailboxes/{id}',
      tags,
      summary: 'Delete a mailbox and all that came through it',
      request: { params },
      responses: { 204: { description: 'Deleted' }, ...problems(401, 404) },
    }),
    async (c) => {
      const { id } = c.req.valid('param');
      const endWatches = await gmail.prepareEnd({ mailboxId: idOf(id) });
      if (!(await deleteMailbox(sql, idOf(id)))) throw notFound(`mailbox ${id}`);
      ingressSources.forgetAll();
      void endWatches();
      return c.body(null, 204);
    },
  );

  return router;
}
