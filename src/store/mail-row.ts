import { type Id, uuidOf } from '../core/ids.ts';
import type { Message } from '../core/message.ts';

/** A normalized mail, and what is kept beside it. */
export type StoredMail = {
  mailboxId: Id<'mbx'>;
  messageId: Id<'msg'>;
  message: Message;
  /** 16 bytes. */
  dedupeKey: Uint8Array;
  /** The whole of what the message has cut; null if it is not cut there. */
  fullText: string | null;
  fullHtml: string | null;
  raw: { bytes: Uint8Array; isCompressed: boolean };
};

/** A mail on its way into the store: what decides its place in a statement, and the row as the statement reads it. */
export type MailRow = {
  mailboxId: Id<'mbx'>;
  messageId: Id<'msg'>;
  /** Hex. */
  dedupeKey: string;
  isTruncated: boolean;
  /** JSON of an object with the columns of `MAIL_COLUMNS`. */
  json: string;
};

/** As PostgreSQL's json_to_recordset takes them. */
export const MAIL_COLUMNS = `
  mailbox_id uuid, key uuid, message_id uuid, tenant text, placement text, from_address text, subject text,
  received_at timestamptz, is_truncated boolean, document json, full_text text, full_html text, raw text,
  is_compressed boolean`;

/**
 * Writes a mail as a row. As one JSON text, which PostgreSQL reads in a pass, and rows are joined as they are: in a
 * parameter for each column every document had to be escaped once more, as an element of an array.
 *
 * @param mail no string of it holds U+0000 or a lone surrogate.
 */
export function createMailRow({ mailboxId, messageId, message, raw, ...mail }: StoredMail): MailRow {
  const { tenant, placement, from, subject, receivedAt, truncated } = message;
  const key = Buffer.from(mail.dedupeKey).toString('hex');
  const { buffer, byteOffset, byteLength } = raw.bytes;
  const columns = {
    mailbox_id: uuidOf(mailboxId),
    key,
    message_id: uuidOf(messageId),
    tenant,
    placement,
    from_address: from?.address ?? null,
    subject,
    received_at: receivedAt,
    is_truncated: truncated,
    document: message,
    full_text: mail.fullText,
    full_html: mail.fullHtml,
    raw: Buffer.from(buffer, byteOffset, byteLength).toString('base64'),
    is_compressed: raw.isCompressed,
  };
  return { mailboxId, messageId, dedupeKey: key, isTruncated: truncated, json: JSON.stringify(columns) };
}

/** The same row under another id. */
export function renameMailRow(row: MailRow, messageId: Id<'msg'>): MailRow {
  const columns = JSON.parse(row.json);
  columns.message_id = uuidOf(messageId);
  columns.document.id = messageId;
  return { ...row, messageId, json: JSON.stringify(columns) };
}
