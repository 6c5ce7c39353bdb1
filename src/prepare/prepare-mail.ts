import { constants, zstdCompressSync } from 'node:zlib';
import { dedupeKeyOf } from '../core/dedupe.ts';
import type { Id } from '../core/ids.ts';
import type { Message, SourceKind } from '../core/message.ts';
import { type Normalized, normalize, normalizeHeaders } from '../core/normalize.ts';
import type { RawMail } from '../core/raw-mail.ts';
import { receiverOfServers } from '../core/receiver.ts';
import { createMailRow, type MailRow } from '../store/mail-row.ts';

/** Where a mail came in. */
export type Origin = {
  id: Id<'src'>;
  kind: SourceKind;
  mailboxId: Id<'mbx'>;
  tenant: string;
  address: string;
  /** Whose Authentication-Results the mailbox trusts, beside those of the providers. */
  authenticationServers: readonly string[];
};

/** A mail that came in, and all that its row is made of: the same task makes the same row. */
export type PrepareTask = { mail: RawMail; origin: Origin; messageId: Id<'msg'>; takenAt: Date };

/** Fast and still good on mail; higher levels cost more time than they save in space. */
const zstdOptions = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };
/** A smaller row stays on one page of PostgreSQL anyway. */
const COMPRESS_FROM_BYTES = 2048;

/**
 * Most characters that the whole text and html of a mail may take in its row. JSON writes a control character as six, so
 * that 50 MB of them would pass V8's longest string, 2^29; a row this long is parsed by PostgreSQL in a second or two.
 */
const MAX_FULL_LENGTH = 100_000_000;

/** The row of a mail, as the store takes it. Never throws for what a mail holds. */
export async function prepareMail(task: PrepareTask): Promise<MailRow> {
  return rowOf(
    task,
    await normalize(task.mail, task.takenAt, receiverOfServers(task.origin.authenticationServers)),
  );
}

/**
 * The row of a mail that could not be read in bounded time or memory: its headers and its bytes, `parse: "failed"`.
 * It has the dedupe key that the whole would have, unless its Message-ID stands behind 256 KiB of headers.
 */
export async function prepareUnreadable(task: PrepareTask): Promise<MailRow> {
  return rowOf(
    task,
    await normalizeHeaders(task.mail, task.takenAt, receiverOfServers(task.origin.authenticationServers)),
  );
}

function rowOf({ mail, origin, messageId }: PrepareTask, normalized: Normalized): MailRow {
  const { content, fullText, fullHtml } = withinRow(normalized);
  const message: Message = {
    id: messageId,
    tenant: origin.tenant,
    mailboxId: origin.mailboxId,
    address: origin.address,
    source: { id: origin.id, kind: origin.kind },
    ...content,
  };
  return createMailRow({
    mailboxId: origin.mailboxId,
    messageId,
    message,
    dedupeKey: dedupeKeyOf(mail, content),
    fullText,
    fullHtml,
    raw: compress(mail.bytes),
  });
}

/** A text too long for a row stays cut: the message says so, and has its raw bytes. */
function withinRow(normalized: Normalized): Normalized {
  const { content, fullText, fullHtml } = normalized;
  if (lengthInJson(fullText) + lengthInJson(fullHtml) <= MAX_FULL_LENGTH) return normalized;
  return { content: { ...content, parse: 'partial' }, fullText: null, fullHtml: null };
}

/** How long a text is as JSON: controls are six characters, the two that have to be escaped are two. */
function lengthInJson(text: string | null): number {
  if (text === null || text.length * 6 <= MAX_FULL_LENGTH / 2) return text?.length ?? 0;
  let length = text.length;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code < 0x20) length += 5;
    else if (code === 0x22 || code === 0x5c) length += 1;
  }
  return length;
}

function compress(bytes: Uint8Array): { bytes: Uint8Array; isCompressed: boolean } {
  if (bytes.length < COMPRESS_FROM_BYTES) return { bytes, isCompressed: false };
  return { bytes: zstdCompressSync(bytes, zstdOptions), isCompressed: true };
}
