import { createRoute, type OpenAPIHono } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { z } from 'zod';
import { type ByteBudget, createByteBudget } from '../core/byte-budget.ts';
import { MailgressError } from '../core/errors.ts';
import type { Id } from '../core/ids.ts';
import { cutToLength } from '../core/text.ts';
import { findAttachment, openRawMail, type StoredRaw } from '../store/raw-mails.ts';
import { describeStoreError } from '../store/unavailable.ts';
import { createRouter, pathId, problems } from './openapi.ts';
import { isUnread, pacedBody } from './paced-body.ts';
import { principalOf } from './principal.ts';
import { notFound } from './problem.ts';
import type { Services } from './services.ts';

/*
 * The bytes of mails, up to 50 MB each, for any number of readers at any pace. A raw mail is passed on in parts as they are
 * read. An attachment has to be taken out of its mail, which is in memory for that, and then the content until it
 * is read. Both have so much memory for all requests together, and a request waits for its share.
 */

/** What passing a raw mail on holds: a part of it, as PostgreSQL sends it and as bytes, and what decompresses it. */
const RAW_BYTES = 2 * 1024 * 1024;
const ALL_RAW_BYTES = 64 * 1024 * 1024;
/** Mails that are being taken apart, with what the parser makes of them, and attachments on their way. */
const ALL_ATTACHMENT_BYTES = 160 * 1024 * 1024;
const PARSING_FACTOR = 3;
/** Until the answer begins, the wait for a share included: less than a request may take. */
const TURN_MS = 14_000;
/** Of it, for the share. */
const WAIT_MS = 6000;
const PIECE_BYTES = 64 * 1024;

/** Mail is a stranger's: a browser may neither guess its type nor show it as a page of ours (RFC 6266, Fetch). */
const STRANGERS_BYTES = { 'x-content-type-options': 'nosniff', 'content-security-policy': 'sandbox' };

const params = z.object({ id: z.string() });
const tags = ['messages'];

export function messageContentRoutes(services: Services): OpenAPIHono {
  const { database, attachments, log } = services;
  const router = createRouter();
  const rawBudget = createByteBudget(ALL_RAW_BYTES);
  const attachmentBudget = createByteBudget(ALL_ATTACHMENT_BYTES);
  const idOf = (text: string) => pathId('msg', 'message', text);

  async function openRaw(id: Id<'msg'>): Promise<StoredRaw> {
    const raw = await openRawMail(database, id);
    if (raw === 'no_message') throw notFound(`message ${id}`);
    if (raw !== 'not_kept') return raw;
    throw new MailgressError('raw_expired', `The raw mail of message ${id} is no longer kept`);
  }

  /** The answer, whose body gives back what was taken for it. Nothing is read for one that nobody reads. */
  function answer(
    c: Context,
    read: () => AsyncIterable<Uint8Array>,
    headers: Record<string, string>,
    giveBack: () => void,
  ): Response {
    const all = { ...STRANGERS_BYTES, ...headers };
    if (isUnread(c)) {
      giveBack();
      return c.body(null, 200, all);
    }
    const onError = (error: unknown) =>
      log.warn({ reason: describeStoreError(error), path: c.req.path }, 'a download was cut off');
    const { bodyPatienceMs: patienceMs, bodyLongestMs: longestMs } = services;
    return c.body(pacedBody(c, read(), { onOver: giveBack, onError, patienceMs, longestMs }), 200, all);
  }

  router.openapi(
    createRoute({
      method: 'get',
      path: '/v1/messages/{id}/raw',
      tags,
      summary: 'Get the mail as it came, byte for byte',
      request: { params },
      responses: {
        200: { description: 'RFC 5322', content: { 'message/rfc822': { schema: z.string() } } },
        ...problems(401, 404, 410, 503),
      },
    }),
    async (c) => {
      const id = idOf(c.req.valid('param').id);
      return inTurn(c, rawBudget, RAW_BYTES, async (giveBack) => {
        const raw = await openRaw(id);
        const headers = {
          'content-type': 'message/rfc822',
          'content-length': String(raw.sizeBytes),
          'content-disposition': `attachment; filename="${id}.eml"`,
        };
        return answer(c, raw.read, headers, giveBack);
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
        ...problems(401, 404, 410, 503),
      },
    }),
    async (c) => {
      const { n, ...param } = c.req.valid('param');
      const id = idOf(param.id);
      const index = /^\d{1,4}$/.test(n) ? Number(n) : -1;
      // The headers of a truncated mail alone can make an (empty) attachment: what the message has, counts.
      const found = await findAttachment(database, id, index);
      if (found === undefined) throw notFound(`message ${id}`);
      const { attachment, mailBytes } = found;
      const isMissing = () => notFound(`attachment ${n.slice(0, 20)} of message ${id}`);
      if (index < 0 || attachment === null) throw isMissing();

      return inTurn(c, attachmentBudget, mailBytes * PARSING_FACTOR, async (giveBack, signal) => {
        const content = await attachments.read(await whole(await openRaw(id), signal), index, signal);
        if (content === undefined) throw isMissing();
        giveBack(content.byteLength);
        const filename = cutToLength(attachment.filename || `attachment-${index}`, MAX_FILENAME_LENGTH);
        const headers = {
          'content-type': 'application/octet-stream',
          'content-length': String(content.byteLength),
          'content-disposition': `attachment; filename*=UTF-8''${encodeRfc8187(filename)}`,
        };
        return answer(c, () => inPieces(content), headers, giveBack);
      });
    },
  );

  return router;
}

/**
 * Makes an answer once its share is free. Of one tenant no more than half is held at a time.
 *
 * @param work gives the share back, in part or when the answer is over; when it fails that is done for it.
 * @throws MailgressError `overloaded` when it takes too long.
 */
async function inTurn(
  c: Context,
  budget: ByteBudget,
  bytes: number,
  work: (giveBack: (keepBytes?: number) => void, signal: AbortSignal) => Promise<Response>,
): Promise<Response> {
  const turn = AbortSignal.any([c.req.raw.signal, AbortSignal.timeout(TURN_MS)]);
  const wait = AbortSignal.any([turn, AbortSignal.timeout(WAIT_MS)]);
  const giveBack = await budget.take(bytes, wait, principalOf(c).tenant ?? undefined).catch(() => {
    throw tooMany();
  });
  try {
    return await work(giveBack, turn);
  } catch (error) {
    giveBack();
    throw turn.aborted ? tooMany() : error;
  }
}

function tooMany(): MailgressError {
  const message = 'Too many downloads are under way; try again shortly';
  return new MailgressError('overloaded', message, { retryable: true });
}

async function whole({ sizeBytes, read }: StoredRaw, signal: AbortSignal): Promise<Uint8Array> {
  const bytes = new Uint8Array(sizeBytes);
  let at = 0;
  for await (const part of read()) {
    signal.throwIfAborted();
    bytes.set(part, at);
    at += part.length;
  }
  if (at !== sizeBytes) throw new Error(`a raw mail of ${sizeBytes} bytes has ${at}`);
  return bytes;
}

/** Views of it. The content goes when they have gone. */
async function* inPieces(content: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < content.length; at += PIECE_BYTES) yield content.subarray(at, at + PIECE_BYTES);
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
