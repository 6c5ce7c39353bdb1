import type { Sql } from 'postgres';
import { type Id, uuidOf } from '../core/ids.ts';
import { createGroupCommit, type GroupCommit } from './group-commit.ts';

/** A claim that an account, lower case, has history up to this id (digits). */
export type Hint = { address: string; historyId: string };

/** Notified when sources were hinted, for a process that reads them. */
export const GMAIL_CHANNEL = 'mailgress_gmail';

/**
 * Keeps hints: those in flight share one statement. A hint resolves, once it is durable, to how many sources read the
 * account; several tenants may. Hints come late, twice and in any order: the greatest id stays, the time is the last
 * one's.
 *
 * @param options.onHints called after each commit that hinted a source.
 */
export function createHintRecorder(
  sql: Sql,
  options: { onHints: () => void; notifyChannel?: string; deadlineMs?: number },
): GroupCommit<Hint, number> {
  return createGroupCommit<Hint, number>({
    flush: async (hints) => {
      const counts = await recordHints(sql, greatestOfEach(hints), options.notifyChannel);
      if (counts.size > 0) options.onHints();
      return hints.map(({ address }) => counts.get(address) ?? 0);
    },
    sizeOf: ({ address, historyId }) => address.length + historyId.length + 128,
    maxRows: 1000,
    maxBytes: 1024 * 1024,
    gatherMs: 2,
    maxFlushes: 1,
    // Some five thousand of them. Google sends what is refused again, ever slower.
    maxPendingBytes: 1024 * 1024,
    deadlineMs: options.deadlineMs ?? 15_000,
  });
}

function greatestOfEach(hints: readonly Hint[]): Hint[] {
  const byAddress = new Map<string, Hint>();
  for (const hint of hints) {
    const other = byAddress.get(hint.address);
    if (other === undefined || BigInt(hint.historyId) > BigInt(other.historyId))
      byAddress.set(hint.address, hint);
  }
  return [...byAddress.values()];
}

/** When the last hint of a source came; null: none, or there is no such source. */
export async function readHintedAt(sql: Sql, id: Id<'src'>): Promise<Date | null> {
  const [row] = await sql<[{ hintedAt: Date | null }?]>`
    SELECT hinted_at AS "hintedAt" FROM sources WHERE id = ${uuidOf(id)}`;
  return row?.hintedAt ?? null;
}

/** @returns how many sources each address has, without those that have none. */
async function recordHints(
  sql: Sql,
  hints: readonly Hint[],
  notifyChannel: string | undefined,
): Promise<Map<string, number>> {
  const [result] = await sql<[{ accounts: string[] }]>`
    WITH hint AS MATERIALIZED (
      SELECT account, history_id::numeric AS history_id
      FROM unnest(
        ${hints.map(({ address }) => address)}::text[],
        ${hints.map(({ historyId }) => historyId)}::text[]
      ) AS hint (account, history_id)
    ), watching AS MATERIALIZED (
      -- Locked in one order, so that processes that hint the same sources do not wait for each other in a ring.
      SELECT sources.id, hint.history_id FROM hint JOIN sources USING (account)
      WHERE sources.kind = 'gmail'
      ORDER BY sources.id FOR NO KEY UPDATE OF sources
    ), hinted AS (
      UPDATE sources SET
        hinted_at = clock_timestamp(),
        hinted_history_id = greatest(sources.hinted_history_id, watching.history_id),
        lag_looks = 0,
        -- Who holds it sees for itself that there was a hint; a source that backs off is not hurried.
        due_at = CASE WHEN failures = 0 AND (lease_until IS NULL OR lease_until <= now())
                      THEN least(due_at, now()) ELSE due_at END
      FROM watching WHERE sources.id = watching.id
      RETURNING sources.account
    )
    SELECT coalesce(array_agg(account), '{}') AS accounts,
           CASE WHEN count(*) > 0 AND ${notifyChannel !== undefined}::boolean
                THEN pg_notify(${notifyChannel ?? ''}, '') END
    FROM hinted`;
  const counts = new Map<string, number>();
  for (const account of result.accounts) counts.set(account, (counts.get(account) ?? 0) + 1);
  return counts;
}
