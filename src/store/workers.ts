import type { Sql } from 'postgres';
import { isCovered } from './coverage.ts';

/*
 * Who holds IMAP sessions, so that they share them evenly. The leases decide who may work; this only says how many there are.
 */

/** A worker that has not been seen for so long has died. Each says that it is there several times meanwhile. */
const DEAD_AFTER_MS = 20_000;

/**
 * Says that the worker is there, and forgets those that are not.
 *
 * @param worker.capacity 0 for one that takes no part in the sharing.
 * @returns how many sources it should hold at most, for all to hold as many.
 */
export async function reportWorker(
  sql: Sql,
  worker: { holder: string; capacity: number; held: number },
): Promise<number> {
  const [share] = await sql<[{ share: number }]>`
    WITH dead AS (
      DELETE FROM workers WHERE seen_at < now() - ${DEAD_AFTER_MS}::int * interval '1 millisecond' AND holder <> ${worker.holder}
    ), seen AS (
      INSERT INTO workers (holder, capacity, held) VALUES (${worker.holder}, ${worker.capacity}, ${worker.held})
      ON CONFLICT (holder) DO UPDATE SET capacity = excluded.capacity, held = excluded.held, seen_at = now()
    ), alive AS (
      SELECT capacity FROM workers
      WHERE seen_at >= now() - ${DEAD_AFTER_MS}::int * interval '1 millisecond' AND holder <> ${worker.holder}
      UNION ALL SELECT ${worker.capacity}::int
    )
    SELECT coalesce(ceil(
      -- In proportion to what each can hold. A standby counts as soon as it is needed: nobody would have room to wake it.
      (SELECT count(*) FROM sources
       WHERE kind = 'imap' AND is_wanted AND state NOT IN ('needs_reauth', 'disabled')
         AND NOT (state = 'standby' AND ${isCovered(sql)}))
      * ${worker.capacity}::numeric / (SELECT nullif(sum(capacity), 0) FROM alive)
    ), 0)::int AS share, set_config('synchronous_commit', 'off', true)`;
  return Math.min(share.share, worker.capacity);
}

export async function forgetWorker(sql: Sql, holder: string): Promise<void> {
  await sql`DELETE FROM workers WHERE holder = ${holder}`;
}
