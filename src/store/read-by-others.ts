import type { Sql } from 'postgres';
import { type Id, uuidOf } from '../core/ids.ts';
import { isStandby } from './coverage.ts';
import { isFolderWished } from './wished-folders.ts';

/** What the others of a mailbox have read while a standby slept. */
export type ReadByOthers = {
  /** When the newest mail was received; of the last hundred stored, as clocks and orders differ. Null: there is none. */
  lastAt: Date | null;
  /** The folders that they read; null: all, as a Gmail account is read whole. */
  paths: string[] | null;
};

/** A standby lists from so long before `lastAt` on: who was proven alive since then has read what came before. */
const MARGIN_HOURS = 1;

/**
 * Only those count that were alive until the newest mail was stored. The mailbox may have been kept awake by another one, that
 * reads other folders, or its newest mail may be a program's: what came to the folders of a source that is long dead nobody read.
 */
export async function findReadByOthers(
  sql: Sql,
  mailboxId: Id<'mbx'>,
  sourceId: Id<'src'>,
): Promise<ReadByOthers> {
  const [found] = await sql<[ReadByOthers]>`
    WITH newest AS (
      SELECT max(received_at) AS last_at FROM (
        SELECT received_at FROM messages WHERE mailbox_id = ${uuidOf(mailboxId)} ORDER BY id DESC LIMIT 100
      ) newest WHERE received_at <= now()
    ), other AS (
      SELECT id, kind, settings FROM sources other, newest
      WHERE mailbox_id = ${uuidOf(mailboxId)} AND id <> ${uuidOf(sourceId)} AND kind <> 'raw'
        AND NOT ${isStandby(sql, 'other')}
        AND last_proven_alive_at >= coalesce(last_at - ${MARGIN_HOURS}::int * interval '1 hour', '-infinity')
    )
    SELECT last_at AS "lastAt",
           CASE WHEN NOT EXISTS (SELECT FROM other WHERE kind <> 'imap') THEN ARRAY(
             SELECT DISTINCT path FROM imap_folders JOIN other ON source_id = other.id
             WHERE ${isFolderWished(sql, 'other')}
           ) END AS paths
    FROM newest`;
  return found;
}
