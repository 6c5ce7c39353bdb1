import { createRoute, type OpenAPIHono } from '@hono/zod-openapi';
import { z } from 'zod';
import { findAttachmentContent } from '../core/attachment-content.ts';
import { MailgressError } from '../core/errors.ts';
import type { Id } from '../core/ids.ts';
import { messageSchema, messageSummarySchema, placementSchema } from '../core/message.ts';
import { cutToLength } from '../core/text.ts';
import { deleteMessage, findMessage, findRawMail, hasMessage, listMessages } from '../store/messages.ts';
import { searchMessages } from '../store/search.ts';
import { idField, textField } from './fields.ts';
import { answer, createRouter, pathId, problems } from './openapi.ts';
import { pageQuery, pageSchema, parsePage, printPage } from './page.ts';
import { principalOf } from './principal.ts';
import { notFound } from './problem.ts';
import type { Services } from './services.ts';

const params = z.object({ id: z.string() });
const tags = ['messages'];

/** Mail is a stranger's: a browser may neither guess its type nor show it as a page of ours (RFC 6266, Fetch). */
const STRANGERS_BYTES = { 'x-content-type-options': 'nosniff', 'content-security-policy': 'sandbox' };

export function messageRoutes({ database }: Services): OpenAPIHono {
  const { sql } = database;
  const router = createRouter();
  const idOf = (text: string) => pathId('msg', 'message', text);

  async function rawOf(id: Id<'msg'>): Promise<Uint8Array> {
    const bytes = await findRawMail(sql, id);
    if (bytes !== undefined) return bytes;
    if (!(await hasMessage(sql, id))) throw notFound(`message ${id}`);
    throw new MailgressError('raw_expired', `The raw mail of message ${id} is no longer kept`);
  }

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
      method: 'get',
      path: '/v1/messages/{id}/raw',
      tags,
      summary: 'Get the mail as it came, byte for byte',
      request: { params },
      responses: {
        200: { description: 'RFC 5322', content: { 'message/rfc822': { schema: z.string() } } },
        ...problems(401, 404, 410),
      },
    }),
    async (c) => {
      const id = idOf(c.req.valid('param').id);
      const bytes = new Uint8Array(await rawOf(id));
      return c.body(bytes, 200, {
        ...STRANGERS_BYTES,
        'content-type': 'message/rfc822',
        'content-disposition': `attachment; filename="${id}.eml"`,
      });
    },
  );

  router.openapi(
    createRoute({
      method: 'get',
      path: '/v1/messages/{id}/attachments/{n}',
      tags,
      summary: 'Get the content of an attachment',
      request: { params: params.extend({ n: z.string() }) },
      responses: {
        200: { description: 'Its bytes', content: { 'application/octet-stream': { schema: z.string() } } },
        ...problems(401, 404, 410),
      },
    }),
    async (c) => {
      const { id, n } = c.req.valid('param');
      const index = /^\d{1,4}$/.test(n) ? Number(n) : -1;
      const message = await findMessage(sql, idOf(id));
      if (message === undefined) throw notFound(`message ${id}`);
      // The headers of a truncated mail alone can make an (empty) attachment: what the message has, counts.
      const isThere = message.attachments[index] !== undefined;
      const found = isThere ? await findAttachmentContent(await rawOf(idOf(id)), index) : undefined;
      if (found === undefined) throw notFound(`attachment ${n.slice(0, 20)} of message ${id}`);
      const filename = cutToLength(found.attachment.filename || `attachment-${index}`, MAX_FILENAME_LENGTH);
      return c.body(new Uint8Array(found.content), 200, {
        ...STRANGERS_BYTES,
        'content-type': 'application/octet-stream',
        'content-disposition': `attachment; filename*=UTF-8''${encodeRfc8187(filename)}`,
      });
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

/** A header of more than 16 KiB is refused by Node's clients, undici's and others; file systems take 255 bytes. */
const MAX_FILENAME_LENGTH = 255;

/** RFC 8187 3.2.1: what encodeURIComponent leaves alone and the grammar does not allow. */
function encodeRfc8187(text: string): string {
  return encodeURIComponent(text).replace(
    /['()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
