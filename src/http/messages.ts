import { createRoute, type OpenAPIHono } from '@hono/zod-openapi';
import { z } from 'zod';
import { messageSchema, messageSummarySchema, placementSchema } from '../core/message.ts';
import { deleteMessage, findMessage, listMessages } from '../store/messages.ts';
import { searchMessages } from '../store/search.ts';
import { idField, textField } from './fields.ts';
import { answer, createRouter, pathId, problems } from './openapi.ts';
import { pageQuery, pageSchema, parsePage, printPage } from './page.ts';
import { principalOf } from './principal.ts';
import { notFound } from './problem.ts';
import type { Services } from './services.ts';

const params = z.object({ id: z.string() });
const tags = ['messages'];

export function messageRoutes({ database }: Services): OpenAPIHono {
  const { sql } = database;
  const router = createRouter();
  const idOf = (text: string) => pathId('msg', 'message', text);

  router.openapi(
    createRoute({
      method: 'get',
      path: '/v1/messages',
      tags,
      summary: 'List messages, newest first, without text, html and headers',
      request: {
        query: z.strictObject({
          ...pageQuery,
          mailbox: idField('mbx').optional(),
          placement: placementSchema.optional(),
          from: textField(320).optional().describe('The whole address, in any case'),
          q: textField(500)
            .optional()
            .describe(
              'Words of subject, names, addresses and text (its first 64 KiB). All must be there; `"..."`: in this order, ' +
                '`-`: not, `or`: one of both; the last may be the beginning of a word. A message is found about a second ' +
                'after it was stored',
            ),
        }),
      },
      responses: { 200: answer('A page', pageSchema(messageSummarySchema)), ...problems(400, 401, 503) },
    }),
    async (c) => {
      const { mailbox: mailboxId, placement, from, q, ...query } = c.req.valid('query');
      const request = { ...parsePage(principalOf(c), 'msg', query, q), mailboxId, placement, from };
      const page = await (q === undefined
        ? listMessages(sql, request)
        : searchMessages(database, { ...request, q }));
      return c.json(printPage(page, q), 200);
    },
  );

  router.openapi(
    createRoute({
      method: 'get',
      path: '/v1/messages/{id}',
      tags,
      summary: 'Get a message, its text and html whole',
      request: { params },
      responses: { 200: answer('The message', messageSchema), ...problems(401, 404) },
    }),
    async (c) => {
      const { id } = c.req.valid('param');
      const message = await findMessage(sql, idOf(id));
      if (message === undefined) throw notFound(`message ${id}`);
      return c.json(message, 200);
    },
  );

  router.openapi(
    createRoute({
      method: 'delete',
      path: '/v1/messages/{id}',
      tags,
      summary: 'Delete a message, its texts, attachments and bytes; it does not come again',
      description:
        'Its event stays in the log with `{id, tenant, mailboxId, deleted: true}` as its data; deliveries that wait fail.',
      request: { params },
      responses: { 204: { description: 'Deleted' }, ...problems(401, 404) },
    }),
    async (c) => {
      const { id } = c.req.valid('param');
      if (!(await deleteMessage(sql, idOf(id)))) throw notFound(`message ${id}`);
      return c.body(null, 204);
    },
  );

  return router;
}
