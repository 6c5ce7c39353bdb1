import type { Fragment, Sql } from 'postgres';
import { createId, type Id, idOf, uuidOf } from '../core/ids.ts';
import type { DueStub, StubResult } from '../core/stub.ts';
import { isHeld, type Lease } from './source-leases.ts';

/*
 * Mails that are known of and not stored yet. Whoever reads a source keeps them when it cannot store at once, or lists more
 * than it reads, and comes back for them.
 */

/** A mail that is to have a stub. */
export type NewStub = {
  providerId: string;
  /** The key it will have in the ledger, where that is known before it is fetched. */
  key: Uint8Array | null;
};

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
 * A fragment: stubs of the row of `held` (id, mailbox_id) for the mails that are not stored. They are due in their order, a
 * microsecond apart: ids of one millisecond have none.
 */
export function insertStubs(sql: Sql, stubs: readonly NewStub[], gapId: Id<'gap'> | undefined): Fragment {
  const once = [...new Map(stubs.map((stub) => [stub.providerId, stub])).values()];
  return sql`
    INSERT INTO stubs (id, source_id, provider_id, status, key, gap_id, due_at)
    SELECT stub.id, held.id, provider_id, 'pending', key, ${gapId === undefined ? null : uuidOf(gapId)}::uuid,
           now() - (${once.length}::int - at) * interval '1 microsecond'
    FROM held, unnest(
      ${once.map(() => uuidOf(createId('stb')))}::uuid[],
      ${once.map(({ providerId }) => providerId)}::text[],
      ${once.map(({ key }) => key && Buffer.from(key).toString('hex'))}::uuid[]
    ) WITH ORDINALITY AS stub (id, provider_id, key, at)
    WHERE NOT EXISTS (
      SELECT FROM dedupe_ledger ledger WHERE ledger.mailbox_id = held.mailbox_id AND ledger.key = stub.key
    )
    ON CONFLICT (source_id, provider_id) DO UPDATE SET
      status = 'pending', attempts = 0, due_at = excluded.due_at, updated_at = now(), gap_id = excluded.gap_id
      -- Listed, it exists, whatever was found before.
      WHERE stubs.status IN ('failed', 'missing') AND excluded.gap_id IS NOT NULL`;
}
