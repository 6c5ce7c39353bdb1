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

/** The row of a mail, as the store takes it. Never throws for what a mail holds. */
export async function prepareMail(task: PrepareTask): Promise<MailRow> {
  return rowOf(
    task,
    await normalize(task.mail, task.takenAt, receiverOfServers(task.origin.authenticationServers)),
  );
}

/**
 * The row of a mail that could not be read in bounded time or memory: its headers and its bytes, `parse: "failed"`.
 * It has the dedupe key that the whole would have.
 */
export async function prepareUnreadable(task: PrepareTask): Promise<MailRow> {
  return rowOf(
    task,
    await normalizeHeaders(task.mail, task.takenAt, receiverOfServers(task.origin.authenticationServers)),
  );
}

function rowOf({ mail, origin, messageId }: PrepareTask, normalized: Normalized): MailRow {
  const { content, fullText, fullHtml } = normalized;
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

function compress(bytes: Uint8Array): { bytes: Uint8Array; isCompressed: boolean } {
  if (bytes.length < COMPRESS_FROM_BYTES) return { bytes, isCompressed: false };
  return { bytes: zstdCompressSync(bytes, zstdOptions), isCompressed: true };
}
