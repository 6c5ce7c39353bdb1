import { randomUUID } from 'node:crypto';
import type { Sql } from 'postgres';
import { type Id, idOf, uuidOf } from '../core/ids.ts';
import type { Searched } from '../core/search-text.ts';
import { lastXid } from './feed.ts';
import { scopeWordsOf } from './search-words.ts';

/*
 * The words of messages are written behind them, never with them. Whoever holds the cursor's lease reads the log in the
 * feed's own order, so that no message is passed over (see `feed.ts`), writes the words of those that have none yet, and
 * moves the cursor. Words that are there are left alone: so a stretch that is read again (a lease that ended, a cursor that
 * was put back) costs little and changes nothing.
 *
 * A message that is completed in place marks its words as stale, in the same commit (`commit-mails.ts`). They are then
 * written anew, whether they were written before or after it.
 *
 * Nothing here waits for the disk: what a crash takes back is done again, and the cursor never outlives the words.
 */

/** A place of the log: everything up to it has its words. */
type Place = { xid: string; eventId: string };

export type SearchWork = {
  /** Messages without words. */
  missing: Id<'msg'>[];
  /** Those that were completed since. */
  stale: Id<'msg'>[];
  next: Place | null;
  isMore: boolean;
};

export type SearchLook = {
  /** The lease is held until `finishSearchWork` gives it back, or it ends. Undefined: nothing, or another process is at it. */
  work: SearchWork | undefined;
  /** There is more, once an older transaction has ended. */
  isHeldBack: boolean;
};

export type SearchLease = { owner: string; leaseMs: number };

export function createSearchLease(leaseMs: number): SearchLease {
  return { owner: randomUUID(), leaseMs };
}

/**
 * Takes the next stretch of the log, at most `limit` events of it, with a lease on the cursor. Writes only if there is one.
 * Places only grow, also in a database that was moved (`feed-places.ts`), so the cursor holds.
 */
export async function claimSearchWork(
  sql: Sql,
  { owner, leaseMs }: SearchLease,
  limit: number,
): Promise<SearchLook> {
  const [row] = await sql<
    [{ isMine: boolean; isHeldBack: boolean; missing: string[]; stale: string[]; scanned: number } & NextRow]
  >`
    WITH horizon AS MATERIALIZED (
      SELECT mailgress_place(pg_snapshot_xmin(pg_current_snapshot())) AS xid
    ), place AS MATERIALIZED (
      SELECT xid, event_id FROM search_cursor WHERE lease_owner = ${owner}::uuid OR lease_until <= now()
    ), scanned AS MATERIALIZED (
      SELECT event.* FROM place CROSS JOIN horizon CROSS JOIN LATERAL (
        SELECT xid, id, type FROM events
        WHERE (events.xid, events.id) > (place.xid, place.event_id) AND events.xid < horizon.xid
        ORDER BY events.xid, events.id LIMIT ${limit}
      ) event
    ), stale AS MATERIALIZED (
      SELECT message_id FROM message_search WHERE is_stale LIMIT ${limit}
    ), claimed AS (
      UPDATE search_cursor SET
        lease_owner = ${owner}::uuid, lease_until = now() + ${leaseMs}::int * interval '1 millisecond'
      FROM place
      WHERE search_cursor.xid = place.xid AND search_cursor.event_id = place.event_id
        AND (lease_owner = ${owner}::uuid OR lease_until <= now())
        AND (EXISTS (SELECT FROM scanned) OR EXISTS (SELECT FROM stale))
      RETURNING 1
    )
    SELECT EXISTS (SELECT FROM claimed) AS "isMine",
           coalesce(${lastXid(sql)} >= horizon.xid, false) AS "isHeldBack",
           coalesce((SELECT array_agg(id) FROM scanned
                     WHERE type = 'message.received'
                       AND NOT EXISTS (SELECT FROM message_search WHERE message_id = scanned.id)), '{}') AS missing,
           coalesce((SELECT array_agg(message_id) FROM stale), '{}') AS stale,
           (SELECT count(*)::int FROM scanned) AS scanned, last.xid::text AS "nextXid", last.id AS "nextId",
           set_config('synchronous_commit', 'off', true)
    FROM horizon LEFT JOIN (SELECT xid, id FROM scanned ORDER BY xid DESC, id DESC LIMIT 1) last ON true`;
  const { isHeldBack } = row;
  if (!row.isMine) return { work: undefined, isHeldBack };
  const ids = (uuids: string[]) => uuids.map((uuid) => idOf('msg', uuid));
  return {
    isHeldBack,
    work: {
      missing: ids(row.missing),
      stale: ids(row.stale),
      next: row.nextXid === null ? null : { xid: row.nextXid, eventId: row.nextId },
      isMore: row.scanned === limit || row.stale.length === limit,
    },
  };
}

type NextRow = { nextXid: string; nextId: string } | { nextXid: null; nextId: null };

/** Moves the cursor behind what has its words now, unless another process took over; gives the lease back if there is no more. */
export async function finishSearchWork(
  sql: Sql,
  { owner }: SearchLease,
  { next, isMore }: Pick<SearchWork, 'next' | 'isMore'>,
): Promise<void> {
  await sql`
    WITH moved AS (
      UPDATE search_cursor SET
        xid = coalesce(${next?.xid ?? null}::xid8, xid), event_id = coalesce(${next?.eventId ?? null}::uuid, event_id),
        lease_until = CASE WHEN ${isMore} THEN lease_until ELSE now() END
      WHERE lease_owner = ${owner}::uuid
    )
    SELECT set_config('synchronous_commit', 'off', true)`;
}

export type SearchedMessage = Searched & { id: Id<'msg'> };

/** What of these messages is searched; of each no more of text and html than is. Those deleted meanwhile are left out. */
export async function readSearched(sql: Sql, ids: readonly Id<'msg'>[]): Promise<SearchedMessage[]> {
  const rows = await sql<(Searched & { id: string })[]>`
    SELECT messages.id, mail.subject, "from", sender, "replyTo", "to", cc, bcc, left(text, ${LONGEST_TEXT}) AS text,
           CASE WHEN coalesce(btrim(text, E' \\t\\r\\n'), '') = '' THEN left(html, ${LONGEST_HTML}) END AS html, snippet
    FROM messages CROSS JOIN json_to_record(document) AS mail (
      subject text, "from" json, sender json, "replyTo" json, "to" json, cc json, bcc json, text text, html text,
      snippet text
    )
    WHERE messages.id = ANY (${ids.map(uuidOf)}::uuid[])`;
  return rows.map((row) => ({ ...row, id: idOf('msg', row.id), snippet: row.snippet ?? '' }));
}

/** Characters, of which the reader takes 64 KiB. Before its words html may have as much again of styles. */
const LONGEST_TEXT = 64 * 1024;
const LONGEST_HTML = 128 * 1024;

/**
 * Writes the words of messages, of texts as `searchTextOf` has them. Safe to repeat. A deletion under way is waited for; what is deleted gets none.
 *
 * @param isAgain they were completed: what they have is replaced. Else what is there stays.
 *
 * @throws what `isRowRefused` tells: one of them is too much for PostgreSQL, and nothing was written.
 */
export async function writeSearchWords(
  sql: Sql,
  texts: readonly { id: Id<'msg'>; text: string }[],
  isAgain: boolean,
): Promise<void> {
  const json = JSON.stringify(texts.map(({ id, text }) => ({ message_id: uuidOf(id), text })));
  await sql`
    WITH input AS MATERIALIZED (
      SELECT * FROM json_to_recordset(${json}::text::json) AS input (message_id uuid, text text)
    ), kept AS MATERIALIZED (
      SELECT * FROM messages WHERE id IN (SELECT message_id FROM input) ORDER BY id FOR KEY SHARE
    ), written AS (
      INSERT INTO message_search (message_id, words)
      SELECT kept.id, to_tsvector('simple', input.text)
                      || array_to_tsvector(${scopeWordsOf(sql, 'kept')})
      FROM kept JOIN input ON input.message_id = kept.id
      ON CONFLICT (message_id) DO UPDATE SET words = excluded.words, is_stale = false
      WHERE ${isAgain} AND message_search.is_stale
    )
    SELECT set_config('synchronous_commit', 'off', true)`;
}

/** Of a message that has no words which could be written: it is found by nothing, and not looked at again. */
export async function forgetStaleWords(sql: Sql, id: Id<'msg'>): Promise<void> {
  await sql`UPDATE message_search SET words = '', is_stale = false WHERE message_id = ${uuidOf(id)}`;
}
