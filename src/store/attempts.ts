import type { Sql } from 'postgres';
import { type Id, idOf, uuidOf } from '../core/ids.ts';
import type { DeliveryStatus } from '../core/resources.ts';

/** So many failures within a day begin the days after which an endpoint is disabled. */
const SEVERAL_FAILURES = 3;

/** One attempt and what becomes of its delivery. */
export type AttemptRecord = {
  attemptId: Id<'att'>;
  deliveryId: Id<'dlv'>;
  endpointId: Id<'ep'>;
  owner: string;
  fence: number;
  startedAt: Date;
  durationMs: number;
  statusCode: number | null;
  errorCode: string | null;
  error: string | null;
  responseExcerpt: string | null;
  status: DeliveryStatus;
  /** What it says of the endpoint; null if it was not its fault. */
  health: 'well' | 'failing' | null;
  /** Until the next try, while `status` is pending. */
  delayMs: number;
};

/** What became of a record. */
export type Recorded = {
  /** Its delivery was still ours, and moved on. */
  isKept: boolean;
  /** Its endpoint has done nothing but fail for five days: disable it. */
  isEndpointLost: boolean;
};

/**
 * Keeps every attempt, and moves each delivery on unless another holder has claimed it since.
 *
 * Also keeps how each endpoint is. The days of nothing but failure begin with the first of several failures within a
 * day, once they span half of it: one bad night is none of them. What succeeds ends them.
 */
export async function recordAttempts(sql: Sql, records: readonly AttemptRecord[]): Promise<Recorded[]> {
  const column = <T>(read: (record: AttemptRecord) => T) => records.map(read);
  const [row] = await sql<[{ moved: string[]; lost: string[] }]>`
    WITH result AS MATERIALIZED (
      SELECT * FROM unnest(
        ${column((record) => uuidOf(record.attemptId))}::uuid[],
        ${column((record) => uuidOf(record.deliveryId))}::uuid[],
        ${column((record) => record.owner)}::uuid[],
        ${column((record) => record.fence)}::int[],
        ${column((record) => record.startedAt.toISOString())}::timestamptz[],
        ${column((record) => record.durationMs)}::int[],
        ${column((record) => record.statusCode)}::int[],
        ${column((record) => record.errorCode)}::text[],
        ${column((record) => record.error)}::text[],
        ${column((record) => record.responseExcerpt)}::text[],
        ${column((record) => record.status)}::text[],
        ${column((record) => record.delayMs)}::bigint[],
        ${column((record) => uuidOf(record.endpointId))}::uuid[],
        ${column((record) => record.health)}::text[]
      ) AS result (attempt_id, delivery_id, owner, fence, started_at, duration_ms, status_code, error_code, error,
                   response_excerpt, status, delay_ms, endpoint_id, health)
    ), moved AS (
      UPDATE deliveries SET
        attempts = attempts + 1,
        status = result.status,
        next_attempt_at = now() + result.delay_ms * interval '1 millisecond',
        lease_owner = NULL,
        last_status_code = result.status_code,
        last_error = result.error,
        rule = NULL,
        completed_at = CASE WHEN result.status <> 'pending' THEN now() END
      FROM result
      WHERE deliveries.id = result.delivery_id AND deliveries.fence = result.fence
        -- The owner as well, another one for each claim: one that a crash took back leaves its fence to the next.
        AND deliveries.status = 'pending' AND deliveries.lease_owner = result.owner
      RETURNING deliveries.id
    ), kept AS MATERIALIZED (
      -- What was said of a message goes with it: its deletion waits for this lock, and where that was first nothing is kept. Who
      -- has the lock waits for no delivery any more: the deletion of a mailbox has these by then, and comes for the events.
      SELECT attempt_id FROM result
      JOIN deliveries ON deliveries.id = delivery_id JOIN events ON events.id = deliveries.event_id
      WHERE response_excerpt <> '' AND (events.type <> 'message.received' OR events.data IS NULL)
        AND (SELECT count(*) FROM moved) >= 0
      FOR SHARE OF events SKIP LOCKED
    ), tried AS (
      INSERT INTO attempts (id, delivery_id, started_at, duration_ms, status_code, error_code, error,
                            response_excerpt)
      SELECT attempt_id, delivery_id, started_at, duration_ms, status_code, error_code, error,
             CASE WHEN response_excerpt = '' OR attempt_id IN (SELECT attempt_id FROM kept) THEN response_excerpt END
      FROM result
      -- A record may come twice when its answer was lost on the way.
      ON CONFLICT (id) DO NOTHING
    ), tally AS (
      SELECT endpoint_id, bool_or(health = 'well') AS is_well, count(*)::int AS count
      FROM result WHERE health IS NOT NULL GROUP BY endpoint_id
    ), judged AS MATERIALIZED (
      -- One that is well as it was is not written. In one order, so that two records do not wait for each other.
      SELECT endpoints.id, is_well, count FROM endpoints JOIN tally ON tally.endpoint_id = endpoints.id
      WHERE NOT is_well OR failing_since IS NOT NULL OR recent_failures > 0
      ORDER BY endpoints.id FOR NO KEY UPDATE OF endpoints
    ), noted AS (
      UPDATE endpoints SET
        failing_since = CASE
          WHEN is_well THEN NULL
          WHEN failing_since IS NOT NULL THEN failing_since
          WHEN recent_failures + count >= ${SEVERAL_FAILURES}
           AND recent_failures_since BETWEEN now() - interval '24 hours' AND now() - interval '12 hours'
          THEN recent_failures_since END,
        recent_failures = CASE WHEN is_well THEN 0
          WHEN recent_failures_since >= now() - interval '24 hours' THEN recent_failures + count ELSE count END,
        recent_failures_since = CASE WHEN is_well THEN NULL
          WHEN recent_failures_since >= now() - interval '24 hours' THEN recent_failures_since ELSE now() END
      FROM judged WHERE endpoints.id = judged.id
      RETURNING endpoints.id, is_enabled AND failing_since <= now() - interval '5 days' AS is_lost
    )
    SELECT coalesce((SELECT array_agg(id) FROM moved), '{}') AS moved,
           coalesce((SELECT array_agg(id) FROM noted WHERE is_lost), '{}') AS lost,
           set_config('synchronous_commit', 'off', true)`;
  const [moved, lost] = [
    new Set(row.moved.map((id) => idOf('dlv', id))),
    new Set(row.lost.map((id) => idOf('ep', id))),
  ];
  return records.map(({ deliveryId, endpointId }) => ({
    isKept: moved.has(deliveryId),
    isEndpointLost: lost.has(endpointId),
  }));
}
