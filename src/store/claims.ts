import type { Sql } from 'postgres';
import { type Id, idOf, uuidOf } from '../core/ids.ts';
import type { DeliveryStatus } from '../core/resources.ts';

/** A delivery whose lease we hold, with all that one attempt needs. */
export type ClaimedDelivery = {
  id: Id<'dlv'>;
  /** Grew with this claim; what we record names it. */
  fence: number;
  /** Tries before this one. */
  attempts: number;
  eventId: Id<'evt'>;
  eventType: string;
  eventCreatedAt: Date;
  /** JSON text of the event's `data`; null if what it was about has been deleted. */
  data: string | null;
  endpoint: {
    id: Id<'ep'>;
    maxInFlight: number;
    url: string;
    secret: Uint8Array;
    previousSecret: Uint8Array | null;
    previousSecretUntil: Date | null;
  };
};

/** One attempt and what becomes of its delivery. */
export type AttemptRecord = {
  attemptId: Id<'att'>;
  deliveryId: Id<'dlv'>;
  fence: number;
  startedAt: Date;
  durationMs: number;
  statusCode: number | null;
  errorCode: string | null;
  error: string | null;
  responseExcerpt: string | null;
  status: DeliveryStatus;
  /** Until the next try, while `status` is pending. */
  delayMs: number;
};

/**
 * Claims due deliveries, oldest first within an endpoint, endpoints in random order, none above its `maxInFlight`
 * (which counts over all processes, but softly: two that claim in the same instant do not see each other).
 *
 * A claim is a lease: it makes the delivery due again when it ends. So a holder that died needs no one to notice.
 */
export async function claimDueDeliveries(
  sql: Sql,
  claim: { owner: string; limit: number; leaseMs: number },
): Promise<ClaimedDelivery[]> {
  const rows = await sql<ClaimRow[]>`
    WITH RECURSIVE waiting AS (
      -- The distinct endpoints of the partial index, by one probe each, however many deliveries are pending.
      (SELECT endpoint_id FROM deliveries WHERE status = 'pending' ORDER BY endpoint_id LIMIT 1)
      UNION ALL
      SELECT (SELECT next.endpoint_id FROM deliveries next
              WHERE next.status = 'pending' AND next.endpoint_id > waiting.endpoint_id
              ORDER BY next.endpoint_id LIMIT 1)
      FROM waiting WHERE waiting.endpoint_id IS NOT NULL
    ), room AS (
      SELECT endpoints.id AS endpoint_id,
             endpoints.max_in_flight - (
               SELECT count(*) FROM deliveries leased
               WHERE leased.endpoint_id = endpoints.id AND leased.status = 'pending'
                 AND leased.lease_owner IS NOT NULL AND leased.next_attempt_at > now()
             ) AS free
      FROM waiting JOIN endpoints ON endpoints.id = waiting.endpoint_id
      WHERE endpoints.is_enabled
      ORDER BY random()
    ), due AS (
      SELECT oldest.id
      FROM room CROSS JOIN LATERAL (
        SELECT id FROM deliveries
        WHERE endpoint_id = room.endpoint_id AND status = 'pending' AND next_attempt_at <= now()
        ORDER BY next_attempt_at, id
        LIMIT greatest(least(room.free, ${claim.limit}), 0)
        FOR UPDATE SKIP LOCKED
      ) oldest
      LIMIT ${claim.limit}
    ), claimed AS (
      UPDATE deliveries SET
        lease_owner = ${claim.owner}, fence = fence + 1,
        next_attempt_at = now() + ${claim.leaseMs}::int * interval '1 millisecond'
      WHERE id IN (SELECT id FROM due)
      RETURNING id, fence, attempts, event_id, endpoint_id
    )
    SELECT claimed.id, claimed.fence, claimed.attempts,
           events.id AS "eventId", events.type AS "eventType", events.created_at AS "eventCreatedAt",
           coalesce(messages.document, events.data)::text AS data,
           endpoints.id AS "endpointId", endpoints.max_in_flight AS "maxInFlight", endpoints.url, endpoints.secret,
           endpoints.previous_secret AS "previousSecret",
           endpoints.previous_secret_until AS "previousSecretUntil"
    FROM claimed
    JOIN endpoints ON endpoints.id = claimed.endpoint_id
    JOIN events ON events.id = claimed.event_id
    LEFT JOIN messages ON messages.id = events.id
    ORDER BY events.created_at, events.id`;
  return rows.map((row) => ({
    id: idOf('dlv', row.id),
    fence: row.fence,
    attempts: row.attempts,
    eventId: idOf('evt', row.eventId),
    eventType: row.eventType,
    eventCreatedAt: row.eventCreatedAt,
    data: row.data,
    endpoint: {
      id: idOf('ep', row.endpointId),
      maxInFlight: row.maxInFlight,
      url: row.url,
      secret: row.secret,
      previousSecret: row.previousSecret,
      previousSecretUntil: row.previousSecretUntil,
    },
  }));
}

type ClaimRow = {
  id: string;
  fence: number;
  attempts: number;
  eventId: string;
  eventType: string;
  eventCreatedAt: Date;
  data: string | null;
  endpointId: string;
  maxInFlight: number;
  url: string;
  secret: Uint8Array;
  previousSecret: Uint8Array | null;
  previousSecretUntil: Date | null;
};

/**
 * Keeps every attempt, and moves each delivery on unless another holder has claimed it since.
 *
 * @returns for each record whether its delivery was still ours.
 */
export async function recordAttempts(sql: Sql, records: readonly AttemptRecord[]): Promise<boolean[]> {
  const column = <T>(read: (record: AttemptRecord) => T) => records.map(read);
  const moved = await sql<{ id: string }[]>`
    WITH result AS MATERIALIZED (
      SELECT * FROM unnest(
        ${column((record) => uuidOf(record.attemptId))}::uuid[],
        ${column((record) => uuidOf(record.deliveryId))}::uuid[],
        ${column((record) => record.fence)}::int[],
        ${column((record) => record.startedAt.toISOString())}::timestamptz[],
        ${column((record) => record.durationMs)}::int[],
        ${column((record) => record.statusCode)}::int[],
        ${column((record) => record.errorCode)}::text[],
        ${column((record) => record.error)}::text[],
        ${column((record) => record.responseExcerpt)}::text[],
        ${column((record) => record.status)}::text[],
        ${column((record) => record.delayMs)}::bigint[]
      ) AS result (attempt_id, delivery_id, fence, started_at, duration_ms, status_code, error_code, error,
                   response_excerpt, status, delay_ms)
    ), tried AS (
      INSERT INTO attempts (id, delivery_id, started_at, duration_ms, status_code, error_code, error,
                            response_excerpt)
      SELECT attempt_id, delivery_id, started_at, duration_ms, status_code, error_code, error, response_excerpt
      FROM result
      -- A record may come twice when its answer was lost on the way.
      ON CONFLICT (id) DO NOTHING
    )
    UPDATE deliveries SET
      attempts = attempts + 1,
      status = result.status,
      next_attempt_at = now() + result.delay_ms * interval '1 millisecond',
      lease_owner = NULL,
      last_status_code = result.status_code,
      last_error = result.error,
      completed_at = CASE WHEN result.status <> 'pending' THEN now() END
    FROM result
    WHERE deliveries.id = result.delivery_id AND deliveries.fence = result.fence
      AND deliveries.status = 'pending' AND deliveries.lease_owner IS NOT NULL
    RETURNING deliveries.id`;
  const ids = new Set(moved.map(({ id }) => idOf('dlv', id)));
  return records.map((record) => ids.has(record.deliveryId));
}

/** Gives back what was claimed and not tried, so that another process need not wait for the lease to end. */
export async function releaseDeliveries(
  sql: Sql,
  claims: readonly { id: Id<'dlv'>; fence: number }[],
): Promise<void> {
  await sql`
    UPDATE deliveries SET lease_owner = NULL, next_attempt_at = now()
    FROM unnest(${claims.map(({ id }) => uuidOf(id))}::uuid[], ${claims.map(({ fence }) => fence)}::int[])
      AS claim (id, fence)
    WHERE deliveries.id = claim.id AND deliveries.fence = claim.fence AND deliveries.status = 'pending'`;
}
