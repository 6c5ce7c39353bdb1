import type { Sql } from 'postgres';

/*
 * An endpoint with an order has a lane for each mailbox, and each replay has lanes of its own. Of a lane one delivery is
 * under way at a time, the one of the oldest event that is not finished. A claim that finds one due behind another parks
 * it: it is due never, until it is first and someone wakes the lane.
 *
 * Whoever finished a delivery wakes its lane afterwards, and so does whoever parked one: each by a statement of its own,
 * after its commit. Whichever of both commits last sees what the other did. That neither dies in between nobody can
 * promise, so all lanes are looked over from time to time.
 */

/** All as uuids. */
export type Lane = { endpointId: string; replayId: string; mailboxId: string };

/** Makes the first of each lane due if it is parked. @returns whether one was. */
export async function wakeLanes(sql: Sql, lanes: readonly Lane[]): Promise<boolean> {
  const woken = await sql`
    UPDATE deliveries SET next_attempt_at = now()
    WHERE status = 'pending' AND next_attempt_at = 'infinity' AND id IN (
      SELECT first.id
      FROM unnest(
        ${lanes.map(({ endpointId }) => endpointId)}::uuid[],
        ${lanes.map(({ replayId }) => replayId)}::uuid[],
        ${lanes.map(({ mailboxId }) => mailboxId)}::uuid[]
      ) AS wanted (endpoint_id, replay_id, lane) CROSS JOIN LATERAL (
        SELECT id FROM deliveries
        WHERE endpoint_id = wanted.endpoint_id AND replay_id = wanted.replay_id AND lane = wanted.lane
          AND status = 'pending'
        ORDER BY event_id LIMIT 1
      ) first
    )
    RETURNING id`;
  return woken.length > 0;
}

/** Does so for all lanes, by one probe of the index each. @returns whether one was parked. */
export async function wakeAllLanes(sql: Sql): Promise<boolean> {
  const woken = await sql`
    WITH RECURSIVE first AS (
      (SELECT endpoint_id, replay_id, lane, id, next_attempt_at FROM deliveries
       WHERE status = 'pending' AND lane IS NOT NULL
       ORDER BY endpoint_id, replay_id, lane, event_id LIMIT 1)
      UNION ALL
      SELECT next.* FROM first CROSS JOIN LATERAL (
        SELECT endpoint_id, replay_id, lane, id, next_attempt_at FROM deliveries
        WHERE status = 'pending' AND lane IS NOT NULL
          AND (endpoint_id, replay_id, lane) > (first.endpoint_id, first.replay_id, first.lane)
        ORDER BY endpoint_id, replay_id, lane, event_id LIMIT 1
      ) next
    )
    UPDATE deliveries SET next_attempt_at = now()
    WHERE status = 'pending' AND next_attempt_at = 'infinity'
      AND id IN (SELECT id FROM first WHERE next_attempt_at = 'infinity')
    RETURNING id`;
  return woken.length > 0;
}
