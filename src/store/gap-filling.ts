import type { Fragment, Sql } from 'postgres';
import { createId, type Id, idOf, uuidOf } from '../core/ids.ts';
import { gapAsJson } from './gaps.ts';
import { isHeld, type Lease } from './source-leases.ts';
import { insertStubs, type NewStub } from './stub-queue.ts';
import { tellEndpoints } from './tell.ts';
import { isFolderWished } from './wished-folders.ts';

/*
 * A gap stands for a stretch of mail that nobody has read. Its mails are listed page by page and become stubs, which stand
 * for it from then on; when none is left it is closed. A wish to read old mail is kept as a gap too.
 */

/** A gap whose mails are to be listed. */
export type OpenGap = {
  id: Id<'gap'>;
  folder: string | null;
  since: Date;
  until: Date | null;
  pageToken: string | null;
  /** Connections that ended while its next page was listed. */
  strikes: number;
};

/** Wants old mail read up to now, as if there were a gap from then on. Said twice, the earlier time counts. */
export async function requestBackfill(sql: Sql, sourceId: Id<'src'>, since: Date): Promise<void> {
  await sql`
    WITH wanted AS (${wantGap(sql, sourceId, { reason: 'requested', since, until: null })})
    UPDATE sources SET
      -- As for makeSourceDue.
      due_at = CASE WHEN kind = 'imap' AND failures > 0 AND lease_owner IS NULL THEN due_at ELSE now() END,
      hinted_at = CASE WHEN kind = 'imap' THEN now() ELSE hinted_at END
    WHERE id = ${uuidOf(sourceId)}`;
}

/** A fragment: the gap of a wish, or the one there is, widened. */
export function wantGap(
  sql: Sql,
  sourceId: Id<'src'>,
  wish: { reason: 'requested' | 'audit'; since: Date; until: Date | null },
): Fragment {
  return sql`
      INSERT INTO gaps (id, source_id, reason, recovered_by, since, until)
      SELECT ${uuidOf(createId('gap'))}, id, ${wish.reason}, 'search', ${wish.since}, ${wish.until}::timestamptz
      FROM sources WHERE id = ${uuidOf(sourceId)}
      ON CONFLICT (source_id, reason, from_cursor, to_cursor) DO UPDATE SET
        since = CASE WHEN gaps.recovered_at IS NULL THEN least(gaps.since, excluded.since) ELSE excluded.since END,
        until = excluded.until, page_token = NULL, listed_at = NULL,
        opened_at = CASE WHEN gaps.recovered_at IS NULL THEN gaps.opened_at ELSE now() END,
        listed = 0, recovered = CASE WHEN gaps.recovered_at IS NULL THEN gaps.recovered ELSE 0 END,
        recovered_at = NULL`;
}

/** The gaps whose mails are still to be listed, oldest first. Of a folder that was taken from its source nothing is. */
export async function findOpenGaps(sql: Sql, sourceId: Id<'src'>): Promise<OpenGap[]> {
  const rows = await sql<(Omit<OpenGap, 'id'> & { id: string })[]>`
    SELECT id, folder, since, until, page_token AS "pageToken", strikes FROM gaps
    WHERE source_id = ${uuidOf(sourceId)} AND recovered_at IS NULL AND listed_at IS NULL AND since IS NOT NULL
      AND NOT EXISTS (
        SELECT FROM imap_folders JOIN sources ON sources.id = imap_folders.source_id
        WHERE imap_folders.source_id = gaps.source_id AND path = gaps.folder AND NOT ${isFolderWished(sql, 'sources')}
      )
    ORDER BY id`;
  return rows.map((row) => ({ ...row, id: idOf('gap', row.id) }));
}

/**
 * Keeps a page of the listing that fills a gap: its stubs and where to go on, both or none. Mails that were given up
 * or missed before are tried again.
 *
 * @param page.next null: that was the last page.
 * @param place the folder that was listed, where it is one of IMAP.
 * @returns false when the lease is another's by now, or the folder has got other UIDs.
 */
export async function keepGapPage(
  sql: Sql,
  lease: Lease,
  gap: Pick<OpenGap, 'id' | 'since' | 'pageToken'>,
  page: { stubs: readonly NewStub[]; listed: number; next: string | null },
  place?: { path: string; uidValidity: number },
): Promise<boolean> {
  const from =
    place === undefined
      ? sql`sources WHERE true`
      : // Before the source, as whoever changes both locks them.
        sql`imap_folders JOIN sources ON sources.id = source_id
            WHERE path = ${place.path} AND uid_validity = ${place.uidValidity}`;
  const [kept] = await sql<[{ held: number }]>`
    WITH held AS (
      -- Locked, so that the lease is ours until this is kept.
      SELECT sources.id, mailbox_id FROM ${from} AND ${isHeld(sql, lease)} FOR NO KEY UPDATE
    ), moved AS (
      UPDATE gaps SET
        page_token = ${page.next}::text, strikes = 0, listed = listed + ${page.listed}::int,
        listed_at = CASE WHEN ${page.next === null}::boolean THEN now() END
      FROM held
      -- A wish that was widened meanwhile is listed from its beginning.
      WHERE gaps.id = ${uuidOf(gap.id)} AND page_token IS NOT DISTINCT FROM ${gap.pageToken}::text
        AND date_trunc('milliseconds', since) = ${gap.since}::timestamptz
    ), stubbed AS (${insertStubs(sql, page.stubs, gap.id)})
    SELECT (SELECT count(*)::int FROM held) AS held, set_config('synchronous_commit', 'off', true)`;
  return kept.held > 0;
}

/** A connection ended, or FETCH was refused, while the next page of a gap was listed. */
export async function noteGapStrike(sql: Sql, gapId: Id<'gap'>): Promise<void> {
  await sql`UPDATE gaps SET strikes = strikes + 1 WHERE id = ${uuidOf(gapId)}`;
}

/** Begins a listing anew whose place the provider no longer knows. */
export async function restartGap(sql: Sql, gapId: Id<'gap'>): Promise<void> {
  await sql`UPDATE gaps SET page_token = NULL, listed = 0 WHERE id = ${uuidOf(gapId)} AND listed_at IS NULL`;
}

/**
 * Closes the gaps of a source that are listed and have no stub left to fetch. Recovered history is told of, and so is an
 * audit that found what should have been there; one that found nothing leaves no trace.
 *
 * @returns whether an event was appended.
 */
export async function closeGaps(sql: Sql, sourceId: Id<'src'>): Promise<boolean> {
  const isFilled = sql`
    gaps.source_id = ${uuidOf(sourceId)} AND gaps.recovered_at IS NULL AND gaps.listed_at IS NOT NULL
    AND NOT EXISTS (
      SELECT FROM stubs
      -- The source's alone: there is no index by gap.
      WHERE stubs.source_id = gaps.source_id AND stubs.gap_id = gaps.id AND stubs.status = 'pending'
    )`;
  const isNothing = sql`gaps.reason = 'audit' AND gaps.recovered = 0`;
  const [closed] = await sql<[{ logged: number }]>`
    WITH dropped AS (
      DELETE FROM gaps WHERE ${isFilled} AND ${isNothing}
    ), gapped AS (
      UPDATE gaps SET recovered_at = now() WHERE ${isFilled} AND NOT (${isNothing}) RETURNING *
    ), logged AS (${logGaps(sql, 'gap.recovered')}), told AS (${tellEndpoints(sql)})
    SELECT (SELECT count(*)::int FROM logged) AS logged`;
  return closed.logged > 0;
}

/** A fragment: an event of each row of `gapped`; a wish is no gap, and whoever has it knows. */
export function logGaps(sql: Sql, type: 'gap.opened' | 'gap.recovered'): Fragment {
  return sql`
    INSERT INTO events (id, type, tenant, mailbox_id, data)
    SELECT mailgress_uuidv7(), ${type}, tenant, mailbox_id, json_build_object('gap', gap)
    FROM (SELECT source_id, reason, ${gapAsJson(sql)} AS gap FROM gapped) told_gap
    JOIN (
      SELECT sources.id, tenant, mailbox_id FROM sources JOIN mailboxes ON mailboxes.id = mailbox_id
    ) origin ON origin.id = source_id
    WHERE reason <> 'requested'
    RETURNING id, type, tenant`;
}
