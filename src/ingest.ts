import { promisify } from 'node:util';
import { constants, zstdCompress, zstdCompressSync } from 'node:zlib';
import { dedupeKeyOf } from './core/dedupe.ts';
import { createId, type Id } from './core/ids.ts';
import type { Message, SourceKind } from './core/message.ts';
import { normalize } from './core/normalize.ts';
import type { RawMail } from './core/raw-mail.ts';
import type { CommitOutcome, MailRow } from './store/commit-mails.ts';
import { isRowRefused, sqlStateOf } from './store/unavailable.ts';

/** Where a mail came in. */
export type Origin = {
  id: Id<'src'>;
  kind: SourceKind;
  mailboxId: Id<'mbx'>;
  tenant: string;
  address: string;
};

/** What became of a mail. All but `rejected` and `mailbox_gone` say that it is durable. */
export type IngestOutcome = CommitOutcome | { status: 'rejected'; reason: string };

/**
 * The one door: every mail of every source comes through here.
 *
 * @throws MailgressError `overloaded` or `store_unavailable`, both retryable: the mail may or may not be stored, and
 * handing it over again is safe.
 */
export type Ingest = (mail: RawMail, origin: Origin) => Promise<IngestOutcome>;

/** Fast and still good on mail; higher levels cost more time than they save in space. */
const zstdOptions = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };
/** A smaller row stays on one page of PostgreSQL anyway. */
const COMPRESS_FROM_BYTES = 2048;
/** Below this, handing the work to a thread costs more than doing it. */
const COMPRESS_IN_THREAD_FROM_BYTES = 64 * 1024;
const compressInThread = promisify(zstdCompress);

/** @param commit stores a row; see `store/commit-mails.ts`. */
export function createIngest(commit: (row: MailRow) => Promise<CommitOutcome>): Ingest {
  return async (mail, origin) => {
    const { content, fullText, fullHtml } = await normalize(mail, new Date());
    const id = createId('msg');
    const message: Message = {
      id,
      tenant: origin.tenant,
      mailboxId: origin.mailboxId,
      address: origin.address,
      source: { id: origin.id, kind: origin.kind },
      ...content,
    };
    try {
      return await commit({
        mailboxId: origin.mailboxId,
        tenant: origin.tenant,
        messageId: id,
        dedupeKey: Buffer.from(dedupeKeyOf(mail, content)).toString('hex'),
        placement: content.placement,
        fromAddress: content.from?.address ?? null,
        subject: content.subject,
        receivedAt: content.receivedAt,
        isTruncated: content.truncated,
        document: JSON.stringify(message),
        fullText,
        fullHtml,
        raw: await compress(mail.bytes),
      });
    } catch (error) {
      if (!isRowRefused(error)) throw error;
      // It would refuse it again: the source has to keep it as failed and go on. Only the
      // code is told: the database's sentence may quote the mail.
      return { status: 'rejected', reason: `the database refused it (${sqlStateOf(error) ?? 'no code'})` };
    }
  };
}

async function compress(bytes: Uint8Array): Promise<MailRow['raw']> {
  if (bytes.length < COMPRESS_FROM_BYTES) return { bytes, isCompressed: false };
  const compressed =
    bytes.length < COMPRESS_IN_THREAD_FROM_BYTES
      ? zstdCompressSync(bytes, zstdOptions)
      : await compressInThread(bytes, zstdOptions);
  return { bytes: compressed, isCompressed: true };
}
