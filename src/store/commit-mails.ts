import type { Sql } from 'postgres';
import type { Id } from '../core/ids.ts';
import { idOf, uuidOf } from '../core/ids.ts';
import { createGroupCommit, type GroupCommit } from './group-commit.ts';
import { MAIL_COLUMNS, type MailRow, renameMailRow } from './mail-row.ts';

export type CommitOutcome =
  | { status: 'accepted'; messageId: Id<'msg'> }
  | { status: 'duplicate'; messageId: Id<'msg'> }
  /** The mailbox was deleted while the mail was on its way. */
  | { status: 'mailbox_gone' };

type CommitOptions = { notifyChannel?: string; onDeliveries: () => void; onStored?: () => void };

/**
 * The hot path: mails in flight share one statement that stores message, raw bytes, event and deliveries.
 *
 * @param onDeliveries called after each commit that made deliveries due.
 * @param onStored called after each commit that stored a mail, and so appended an event.
 */
export function createMailCommit(
  sql: Sql,
  options: CommitOptions & { deadlineMs?: number },
): GroupCommit<MailRow, CommitOutcome> {
  return createGroupCommit<MailRow, CommitOutcome>({
    flush: (rows) => commitMails(sql, rows, options),
    sizeOf: ({ json }) => json.length + 512,
    maxRows: 256,
    maxBytes: 8 * 1024 * 1024,
    gatherMs: 3,
    maxFlushes: 2,
    maxPendingBytes: 128 * 1024 * 1024,
    deadlineMs: options.deadlineMs ?? 15_000,
  });
}

async function commitMails(
  sql: Sql,
  rows: readonly MailRow[],
  options: CommitOptions,
): Promise<CommitOutcome[]> {
  const unique = collapseDuplicates(rows);
  const { storedIds, deliveries } = await insertMails(sql, unique, options.notifyChannel);
  if (deliveries > 0) options.onDeliveries();
  if (storedIds.size > 0) options.onStored?.();

  const leftOver = unique.filter((row) => !storedIds.has(row.messageId));
  const duplicates = leftOver.length > 0 ? await resolveDuplicates(sql, leftOver) : new Map();
  const outcomes = new Map(
    unique.map((row): [string, CommitOutcome] => [keyOf(row), outcomeOf(row, storedIds, duplicates)]),
  );
  return rows.map((row) => {
    const outcome = outcomes.get(keyOf(row)) ?? { status: 'mailbox_gone' };
    const isTwin = outcome.status === 'accepted' && outcome.messageId !== row.messageId;
    return isTwin ? { ...outcome, status: 'duplicate' } : outcome;
  });
}

const keyOf = (row: MailRow) => `${row.mailboxId} ${row.dedupeKey}`;

/** One row a key, sorted by key: every process inserts in the same order, so that none waits for another in a ring. */
function collapseDuplicates(rows: readonly MailRow[]): MailRow[] {
  const byKey = new Map<string, MailRow>();
  for (const row of rows) {
    const other = byKey.get(keyOf(row));
    if (other === undefined || (other.isTruncated && !row.isTruncated)) byKey.set(keyOf(row), row);
  }
  return [...byKey.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row);
}

function outcomeOf(
  row: MailRow,
  storedIds: ReadonlySet<string>,
  duplicates: ReadonlyMap<string, Id<'msg'>>,
): CommitOutcome {
  if (storedIds.has(row.messageId)) return { status: 'accepted', messageId: row.messageId };
  const messageId = duplicates.get(row.messageId);
  if (messageId === undefined) return { status: 'mailbox_gone' };
  // Its own id: stored by a flush whose answer was lost, or that had to be written again.
  return { status: messageId === row.messageId ? 'accepted' : 'duplicate', messageId };
}

/**
 * One statement, so one commit and one round trip. The ledger's primary key decides what is new; the rest follows
 * from what it returned. `box` locks each mailbox once, against a deletion that would leave these rows behind.
 */
async function insertMails(
  sql: Sql,
  rows: readonly MailRow[],
  notifyChannel: string | undefined,
): Promise<{ storedIds: Set<string>; deliveries: number }> {
  const json = `[${rows.map((row) => row.json).join(',')}]`;
  const [result] = await sql<[{ stored: string[]; deliveries: number }]>`
    WITH input AS MATERIALIZED (
      SELECT * FROM json_to_recordset(${json}::text::json) AS input (${sql.unsafe(MAIL_COLUMNS)})
    ), box AS MATERIALIZED (
      SELECT id FROM mailboxes WHERE id IN (SELECT mailbox_id FROM input) ORDER BY id FOR KEY SHARE
    ), ledger AS (
      INSERT INTO dedupe_ledger (mailbox_id, key, message_id)
      SELECT mailbox_id, key, message_id FROM input JOIN box ON box.id = mailbox_id ORDER BY mailbox_id, key
      ON CONFLICT DO NOTHING
      RETURNING message_id
    ), fresh AS MATERIALIZED (
      SELECT input.* FROM input JOIN ledger USING (message_id)
    ), stored AS (
      INSERT INTO messages (id, mailbox_id, tenant, placement, from_address, subject, received_at, is_truncated,
                            document, full_text, full_html)
      SELECT message_id, mailbox_id, tenant, placement, from_address, subject, received_at, is_truncated,
             document, full_text, full_html
      FROM fresh
    ), kept AS (
      INSERT INTO raw_mails (message_id, bytes, is_compressed)
      SELECT message_id, decode(raw, 'base64'), is_compressed FROM fresh
    ), logged AS (
      INSERT INTO events (id, type, tenant, mailbox_id)
      SELECT message_id, 'message.received', tenant, mailbox_id FROM fresh
    ), fanned_out AS (
      INSERT INTO deliveries (id, endpoint_id, event_id, lane)
      SELECT mailgress_uuidv7(), endpoints.id, fresh.message_id,
             CASE WHEN endpoints."order" = 'mailbox' THEN fresh.mailbox_id END
      FROM fresh JOIN endpoints
        ON endpoints.is_enabled
       AND (endpoints.tenant IS NULL OR endpoints.tenant = fresh.tenant)
       AND 'message.received' = ANY (endpoints.types)
      RETURNING 1
    ), count AS (
      SELECT count(*)::int AS deliveries FROM fanned_out
    )
    SELECT coalesce((SELECT array_agg(message_id) FROM fresh), '{}') AS stored, deliveries,
           CASE WHEN deliveries > 0 AND ${notifyChannel !== undefined}
                THEN pg_notify(${notifyChannel ?? ''}, '') END
    FROM count`;
  return {
    storedIds: new Set(result.stored.map((uuid) => idOf('msg', uuid))),
    deliveries: result.deliveries,
  };
}

/**
 * Whose rows the ledger refused: the id each is stored under. A second statement, because the first one's snapshot
 * cannot see a row that won the race after it began.
 *
 * Fuller wins: a message stored from headers alone is completed in place by a whole copy. Its event stays as it is.
 */
async function resolveDuplicates(sql: Sql, rows: readonly MailRow[]): Promise<Map<string, Id<'msg'>>> {
  const column = <T>(read: (row: MailRow) => T) => rows.map(read);
  const found = await sql<{ given: string; message: string; isTruncated: boolean | null }[]>`
    SELECT input.message_id AS given, ledger.message_id AS message, messages.is_truncated AS "isTruncated"
    FROM unnest(
      ${column((row) => uuidOf(row.mailboxId))}::uuid[],
      ${column((row) => row.dedupeKey)}::uuid[],
      ${column((row) => uuidOf(row.messageId))}::uuid[]
    ) AS input (mailbox_id, key, message_id)
    JOIN dedupe_ledger ledger USING (mailbox_id, key)
    LEFT JOIN messages ON messages.id = ledger.message_id`;
  const byGiven = new Map(rows.map((row) => [row.messageId as string, row]));
  const duplicates = new Map<string, Id<'msg'>>();
  for (const { given, message, isTruncated } of found) {
    const row = byGiven.get(idOf('msg', given));
    if (row === undefined) continue;
    duplicates.set(row.messageId, idOf('msg', message));
    if (isTruncated && !row.isTruncated) await completeMessage(sql, idOf('msg', message), row);
  }
  return duplicates;
}

/** Replaces a header-only message by the whole one, under the id it already has. Safe to repeat. */
async function completeMessage(sql: Sql, messageId: Id<'msg'>, row: MailRow): Promise<void> {
  const { json } = renameMailRow(row, messageId);
  await sql`
    WITH input AS MATERIALIZED (
      SELECT * FROM json_to_record(${json}::text::json) AS input (${sql.unsafe(MAIL_COLUMNS)})
    ), box AS MATERIALIZED (
      SELECT id FROM mailboxes WHERE id = ${uuidOf(row.mailboxId)} FOR KEY SHARE
    ), completed AS (
      UPDATE messages SET
        placement = input.placement, from_address = input.from_address, subject = input.subject,
        received_at = input.received_at, is_truncated = false, document = input.document,
        full_text = input.full_text, full_html = input.full_html
      FROM input, box
      WHERE messages.id = input.message_id AND messages.is_truncated
      RETURNING messages.id
    ), unsearched AS (
      -- Its words are written anew, or for the first time: see search-index.ts.
      INSERT INTO message_search (message_id, words, is_stale) SELECT id, '', true FROM completed
      ON CONFLICT (message_id) DO UPDATE SET is_stale = true
    )
    INSERT INTO raw_mails (message_id, bytes, is_compressed)
    SELECT completed.id, decode(input.raw, 'base64'), input.is_compressed FROM completed, input
    ON CONFLICT (message_id) DO UPDATE SET bytes = excluded.bytes, is_compressed = excluded.is_compressed`;
}
