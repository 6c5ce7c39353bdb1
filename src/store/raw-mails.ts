import { pipeline, Readable } from 'node:stream';
import { createZstdDecompress } from 'node:zlib';
import { type Id, uuidOf } from '../core/ids.ts';
import type { Attachment } from '../core/message.ts';
import type { Database } from './database.ts';

/** Bytes a statement. PostgreSQL keeps them uncompressed (see drizzle/), and reads a part without the rest. */
const CHUNK_BYTES = 256 * 1024;

/** A mail as it came, byte for byte (of a truncated one its header block). */
export type StoredRaw = {
  sizeBytes: number;
  /**
   * Reads it, in parts, each by a statement of its own when it is asked for: a reader may take as long as it likes, and holds some
   * 2 MiB. To be read once. Throws if it was deleted or completed meanwhile.
   */
  read(): AsyncIterable<Uint8Array>;
};

type Part = { bytes: Buffer; storedBytes: number; isCompressed: boolean; version: string };

/** @returns `no_message`, or `not_kept` if it is not kept (any more). */
export async function openRawMail(
  { sql, inTime }: Database,
  id: Id<'msg'>,
): Promise<StoredRaw | 'no_message' | 'not_kept'> {
  const [first] = await inTime(sql<[({ sizeBytes: number } & (Part | { bytes: null }))?]>`
    SELECT (document ->> 'sizeBytes')::int AS "sizeBytes", raw_mails.xmin::text AS version,
           substring(bytes FROM 1 FOR ${CHUNK_BYTES}) AS bytes, octet_length(bytes) AS "storedBytes",
           is_compressed AS "isCompressed"
    FROM messages LEFT JOIN raw_mails ON message_id = messages.id WHERE messages.id = ${uuidOf(id)}`);
  if (first === undefined) return 'no_message';
  if (first.bytes === null) return 'not_kept';
  const { sizeBytes } = first;
  return { sizeBytes, read: () => (first.isCompressed ? decompress(readParts(first)) : readParts(first)) };

  async function* readParts(start: Part): AsyncGenerator<Uint8Array> {
    const { storedBytes, version } = start;
    let next: Part = start;
    for (let at = 0; ; ) {
      yield next.bytes;
      at += next.bytes.length;
      if (at >= storedBytes) return;
      const [part] = await inTime(sql<[Part?]>`
        SELECT substring(bytes FROM ${at + 1}::int FOR ${CHUNK_BYTES}) AS bytes, xmin::text AS version
        FROM raw_mails WHERE message_id = ${uuidOf(id)}`);
      // Parts of two mails make none.
      if (part === undefined || part.version !== version)
        throw new Error(`raw mail of ${id} changed while it was read`);
      next = part;
    }
  }
}

function decompress(parts: AsyncGenerator<Uint8Array>): AsyncIterable<Uint8Array> {
  // One part ahead, not sixteen. What fails is thrown to who reads.
  const source = Readable.from(parts, { highWaterMark: 1 });
  return pipeline(source, createZstdDecompress(), () => {});
}

/** An attachment as the message has it, and how large the mail is that it is in. */
export type FoundAttachment = { attachment: Attachment | null; mailBytes: number };

/** @returns undefined if there is no such message; its attachment is null if it has none of that index. */
export async function findAttachment(
  { sql, inTime }: Database,
  id: Id<'msg'>,
  index: number,
): Promise<FoundAttachment | undefined> {
  const [row] = await inTime(sql<[FoundAttachment?]>`
    SELECT document -> 'attachments' -> ${index}::int AS attachment, (document ->> 'sizeBytes')::int AS "mailBytes"
    FROM messages WHERE id = ${uuidOf(id)}`);
  return row;
}
