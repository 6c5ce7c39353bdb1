import type { Fragment, Sql } from 'postgres';
import { gmailKeyOf } from '../core/dedupe.ts';
import { canonicalGmailId } from '../core/gmail-id.ts';
import { createId, type Id, idOf, uuidOf } from '../core/ids.ts';
import { gapAsJson } from './gaps.ts';
import { isHeld, LEASE_MS, type Lease } from './source-leases.ts';
import { tellEndpoints } from './tell.ts';

/*
 * What the sync of a Gmail mailbox keeps. A page of history becomes stubs, and the cursor moves in the same statement:
 * there is no moment at which the cursor has passed what nothing stands for. A gap stands for its stretch until it is
 * listed, its stubs from then on.
 */

/** A mail to be fetched. */
export type DueStub = {
  id: Id<'stb'>;
  providerId: string;
  attempts: number;
  /** It came by another way meanwhile. */
  isStored: boolean;
};

/** What became of a stub. */
export type StubResult =
  /** `stored`: it is durable now. `settled`: it was before, or is no mail that came in. */
  | { id: Id<'stb'>; outcome: 'stored' | 'settled' }
  /** It is gone at the provider; or given up. */
  | { id: Id<'stb'>; outcome: 'missing' | 'failed'; error: string | null }
  | { id: Id<'stb'>; outcome: 'retry'; error: string; delayMs: number };

export type OpenGap = { id: Id<'gap'>; since: Date; until: Date | null; pageToken: string | null };

/**
 * Keeps a page of history: a stub for each id that is not stored, and the cursor behind the page. Compare and set: both
 * or none.
 *
 * @returns false when the lease or the cursor is another's by now.
 */
export async function keepHistoryPage(
  sql: Sql,
  lease: Lease,
  page: { messageIds: readonly string[]; from: string; to: string },
): Promise<boolean> {
  const [kept] = await sql<[{ held: number }]>`
    WITH held AS (
      -- What was to be adopted unless something turns up is not: it has.
      UPDATE sources SET cursor = ${page.to}, settling_cursor = NULL, settling_at = NULL, ${renewed(sql)}
      WHERE ${isHeld(sql, lease)} AND cursor = ${page.from}
      RETURNING id, mailbox_id
    ), stubbed AS (${insertStubs(sql, page.messageIds, undefined)})
    SELECT (SELECT count(*)::int FROM held) AS held, set_config('synchronous_commit', 'off', true)`;
  return kept.held > 0;
}

/**
 * Jumps over history that cannot be read any more. The gap stands for what is jumped over, from the same commit on.
 *
 * @returns false when the lease or the cursor is another's by now.
 */
export async function jumpWithGap(
  sql: Sql,
  lease: Lease,
  jump: { reason: 'history_expired' | 'reset'; from: string | null; to: string; since: Date },
): Promise<boolean> {
  const [jumped] = await sql<[{ held: number }]>`
    WITH held AS (
      UPDATE sources SET cursor = ${jump.to}, settling_cursor = NULL, settling_at = NULL, ${renewed(sql)}
      WHERE ${isHeld(sql, lease)} AND cursor IS NOT DISTINCT FROM ${jump.from}::text
      RETURNING id, mailbox_id
    ), gapped AS (
      INSERT INTO gaps (id, source_id, reason, from_cursor, to_cursor, recovered_by, since)
      SELECT ${uuidOf(createId('gap'))}::uuid, id, ${jump.reason}, ${jump.from}::text, ${jump.to}, 'search',
             ${jump.since}::timestamptz
      FROM held
      ON CONFLICT (source_id, reason, from_cursor, to_cursor) DO UPDATE SET
        recovered_at = NULL, listed_at = NULL, page_token = NULL, opened_at = now(),
        since = least(gaps.since, excluded.since), listed = 0,
        recovered = CASE WHEN gaps.recovered_at IS NULL THEN gaps.recovered ELSE 0 END
      RETURNING *
    ), logged AS (${logGaps(sql, 'gap.opened')}), told AS (${tellEndpoints(sql)})
    SELECT (SELECT count(*)::int FROM held) AS held`;
  return jumped.held > 0;
}

/** Wants old mail read up to now, as if there were a gap from then on. Said twice, the earlier time counts. */
export async function requestBackfill(sql: Sql, sourceId: Id<'src'>, since: Date): Promise<void> {
  await sql`
    WITH wanted AS (${wantGap(sql, sourceId, { reason: 'requested', since, until: null })})
    UPDATE sources SET due_at = now() WHERE id = ${uuidOf(sourceId)}`;
}

/** Wants what came in that stretch held against what is stored, and notes when that was. */
export async function requestAudit(
  sql: Sql,
  sourceId: Id<'src'>,
  stretch: { since: Date; until: Date },
): Promise<void> {
  await sql`
    WITH wanted AS (${wantGap(sql, sourceId, { reason: 'audit', ...stretch })})
    UPDATE sources SET audited_at = now() WHERE id = ${uuidOf(sourceId)}`;
}

function wantGap(
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

/** The gaps whose mails are still to be listed, oldest first. */
export async function findOpenGaps(sql: Sql, sourceId: Id<'src'>): Promise<OpenGap[]> {
  const rows = await sql<(Omit<OpenGap, 'id'> & { id: string })[]>`
    SELECT id, since, until, page_token AS "pageToken" FROM gaps
    WHERE source_id = ${uuidOf(sourceId)} AND recovered_at IS NULL AND listed_at IS NULL AND since IS NOT NULL
    ORDER BY id`;
  return rows.map((row) => ({ ...row, id: idOf('gap', row.id) }));
}

/**
 * Keeps a page of the listing that fills a gap: its stubs and where to go on, both or none. Mails that were given up
 * or missed before are tried again.
 *
 * @param page.next null: that was the last page.
 * @returns false when the lease is another's by now.
 */
export async function keepGapPage(
  sql: Sql,
  lease: Lease,
  gap: OpenGap,
  page: { messageIds: readonly string[]; next: string | null },
): Promise<boolean> {
  const [kept] = await sql<[{ held: number }]>`
    WITH held AS (
      UPDATE sources SET ${renewed(sql)} WHERE ${isHeld(sql, lease)} RETURNING id, mailbox_id
    ), moved AS (
      UPDATE gaps SET
        page_token = ${page.next}::text, listed = listed + ${page.messageIds.length}::int,
        listed_at = CASE WHEN ${page.next === null}::boolean THEN now() END
      FROM held
      -- A wish that was widened meanwhile is listed from its beginning.
      WHERE gaps.id = ${uuidOf(gap.id)} AND page_token IS NOT DISTINCT FROM ${gap.pageToken}::text
        AND date_trunc('milliseconds', since) = ${gap.since}::timestamptz
    ), stubbed AS (${insertStubs(sql, page.messageIds, gap.id)})
    SELECT (SELECT count(*)::int FROM held) AS held, set_config('synchronous_commit', 'off', true)`;
  return kept.held > 0;
}

/** Begins a listing anew whose place the provider no longer knows. */
export async function restartGap(sql: Sql, gapId: Id<'gap'>): Promise<void> {
  await sql`UPDATE gaps SET page_token = NULL, listed = 0 WHERE id = ${uuidOf(gapId)} AND listed_at IS NULL`;
}

/** What is to be fetched now: what is new before what fills gaps, oldest first. Nothing with a stale lease. */
export async function findDueStubs(sql: Sql, lease: Lease, limit: number): Promise<DueStub[]> {
  const rows = await sql<(Omit<DueStub, 'id'> & { id: string })[]>`
    SELECT stubs.id, provider_id AS "providerId", attempts,
           EXISTS (
             SELECT FROM dedupe_ledger ledger WHERE ledger.mailbox_id = sources.mailbox_id AND ledger.key = stubs.key
           ) AS "isStored"
    FROM stubs JOIN sources ON sources.id = source_id
    WHERE source_id = ${uuidOf(lease.sourceId)} AND ${isHeld(sql, lease)}
      AND status = 'pending' AND stubs.due_at <= now()
    ORDER BY gap_id IS NOT NULL, stubs.due_at, stubs.id
    LIMIT ${limit}`;
  return rows.map((row) => ({ ...row, id: idOf('stb', row.id) }));
}

/**
 * Keeps what became of stubs. Not fenced: that a mail is stored is true whoever found out.
 *
 * Safe to repeat but for the count of attempts.
 */
export async function settleStubs(sql: Sql, results: readonly StubResult[]): Promise<void> {
  const column = <T>(read: (result: StubResult) => T) => results.map(read);
  await sql`
    WITH result AS MATERIALIZED (
      SELECT * FROM unnest(
        ${column(({ id }) => uuidOf(id))}::uuid[],
        ${column(({ outcome }) => outcome)}::text[],
        ${column((result) => ('error' in result ? result.error : null))}::text[],
        ${column((result) => ('delayMs' in result ? result.delayMs : 0))}::bigint[]
      ) AS result (id, outcome, error, delay_ms)
    ), cleared AS (
      DELETE FROM stubs USING result WHERE stubs.id = result.id AND outcome IN ('stored', 'settled')
      RETURNING gap_id, outcome
    ), counted AS (
      UPDATE gaps SET recovered = recovered + filled.count
      FROM (SELECT gap_id, count(*)::int AS count FROM cleared WHERE outcome = 'stored' GROUP BY gap_id) filled
      WHERE gaps.id = filled.gap_id
    ), kept AS (
      UPDATE stubs SET
        status = CASE WHEN outcome = 'retry' THEN 'pending' ELSE outcome END,
        error = result.error, updated_at = now(), due_at = now() + delay_ms * interval '1 millisecond',
        attempts = attempts + 1
      FROM result
      WHERE stubs.id = result.id AND outcome NOT IN ('stored', 'settled') AND status = 'pending'
    )
    SELECT set_config('synchronous_commit', 'off', true)`;
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

/** An event of each row of `gapped`; a wish is no gap, and whoever has it knows. */
function logGaps(sql: Sql, type: 'gap.opened' | 'gap.recovered'): Fragment {
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

/** Stubs of `held` for the ids that are not stored. In order: who fetches goes by their ids. */
function insertStubs(sql: Sql, messageIds: readonly string[], gapId: Id<'gap'> | undefined): Fragment {
  const ids = [...new Set(messageIds.map(canonicalGmailId))];
  return sql`
    INSERT INTO stubs (id, source_id, provider_id, status, key, gap_id)
    SELECT stub.id, held.id, provider_id, 'pending', key, ${gapId === undefined ? null : uuidOf(gapId)}::uuid
    FROM held, unnest(
      ${ids.map(() => uuidOf(createId('stb')))}::uuid[],
      ${ids}::text[],
      ${ids.map((id) => Buffer.from(gmailKeyOf(id)).toString('hex'))}::uuid[]
    ) AS stub (id, provider_id, key)
    WHERE NOT EXISTS (
      SELECT FROM dedupe_ledger ledger WHERE ledger.mailbox_id = held.mailbox_id AND ledger.key = stub.key
    )
    ON CONFLICT (source_id, provider_id) DO UPDATE SET
      status = 'pending', attempts = 0, due_at = now(), updated_at = now(), gap_id = excluded.gap_id
      -- Listed, it exists, whatever was found before.
      WHERE stubs.status IN ('failed', 'missing') AND excluded.gap_id IS NOT NULL`;
}

function renewed(sql: Sql): Fragment {
  return sql`lease_until = now() + ${LEASE_MS}::int * interval '1 millisecond'`;
}
