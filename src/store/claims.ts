import type { Sql } from 'postgres';
import { type Id, idOf, uuidOf } from '../core/ids.ts';
import type { DeliveryStatus } from '../core/resources.ts';

/*
 * Claims and records are committed without waiting for the disk. What a crash of PostgreSQL takes back, for a fraction
 * of a second, is that a delivery was claimed or made: it is made again, under the same id, as at least once permits.
 * Waiting made two of the three writes to disk between a mail and its webhook. The setting holds for the statement's
 * own transaction, so a pooler is no matter.
 */
/** A delivery whose lease we hold, with all that one attempt needs. */
export type ClaimedDelivery = {
  id: Id<'dlv'>;
  /** Whose lease it is, and its number, which grew with this claim: what we record names both. */
  owner: string;
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
  owner: string;
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

/** What a claim got, and where more may be had. */
export type Claim = {
  /** Oldest event first. */
  deliveries: ClaimedDelivery[];
  /** An endpoint got its whole share of this claim: more of its deliveries may be due right now. */
  isMoreDue: boolean;
  /** Of the endpoints in this claim, those with no room for another until one under way ends. */
  fullEndpoints: ReadonlySet<Id<'ep'>>;
};

/**
 * Claims due deliveries, oldest first within an endpoint, none above its `maxInFlight` (which counts over all
 * processes, but softly: two that claim in the same instant do not see each other).
 *
 * Every endpoint with something due gets an equal share of `limit`, so that a long queue keeps no other waiting. What
 * the others leave of theirs is for the next claim.
 *
 * A claim is a lease: it makes the delivery due again when it ends. So a holder that died needs no one to notice.
 */
export async function claimDueDeliveries(
  sql: Sql,
  claim: { owner: string; limit: number; leaseMs: number },
): Promise<Claim> {
  const rows = await sql<ClaimRow[]>`
    WITH RECURSIVE waiting AS (
      -- The next delivery of each endpoint, by one probe of the partial index each, however many are pending.
      (SELECT endpoint_id, next_attempt_at FROM deliveries WHERE status = 'pending'
       ORDER BY endpoint_id, next_attempt_at LIMIT 1)
      UNION ALL
      SELECT next.endpoint_id, next.next_attempt_at
      FROM waiting CROSS JOIN LATERAL (
        SELECT endpoint_id, next_attempt_at FROM deliveries
        WHERE status = 'pending' AND endpoint_id > waiting.endpoint_id
        ORDER BY endpoint_id, next_attempt_at LIMIT 1
      ) next
    ), room AS MATERIALIZED (
      SELECT endpoints.id AS endpoint_id, free, ceil(${claim.limit}::numeric / count(*) OVER ())::int AS share
      FROM waiting
      JOIN endpoints ON endpoints.id = waiting.endpoint_id
      CROSS JOIN LATERAL (
        SELECT (endpoints.max_in_flight - count(*))::int AS free FROM deliveries
        WHERE endpoint_id = endpoints.id AND status = 'pending'
          AND lease_owner IS NOT NULL AND next_attempt_at > now()
      ) leased
      WHERE waiting.next_attempt_at <= now() AND endpoints.is_enabled AND free > 0
    ), due AS (
      SELECT oldest.id
      -- In random order, for when there are more endpoints than the limit.
      FROM (SELECT * FROM room ORDER BY random()) room CROSS JOIN LATERAL (
        SELECT id FROM deliveries
        WHERE endpoint_id = room.endpoint_id AND status = 'pending' AND next_attempt_at <= now()
        ORDER BY next_attempt_at, id
        LIMIT least(room.free, room.share)
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
           -- The data of a message's event is the message, or a note for the feed that it was deleted.
           CASE events.type WHEN 'message.received' THEN messages.document ELSE events.data END::text AS data,
           endpoints.id AS "endpointId", endpoints.url, endpoints.secret,
           endpoints.previous_secret AS "previousSecret",
           endpoints.previous_secret_until AS "previousSecretUntil", room.free, room.share, set_config('synchronous_commit', 'off', true)
    FROM claimed
    JOIN room ON room.endpoint_id = claimed.endpoint_id
    JOIN endpoints ON endpoints.id = claimed.endpoint_id
    JOIN events ON events.id = claimed.event_id
    LEFT JOIN messages ON messages.id = events.id
    ORDER BY events.created_at, events.id`;

  const counts = new Map<string, number>();
  for (const { endpointId } of rows) counts.set(endpointId, (counts.get(endpointId) ?? 0) + 1);
  const full = rows.filter((row) => (counts.get(row.endpointId) ?? 0) >= row.free);
  return {
    deliveries: rows.map((row) => toClaimedDelivery(row, claim.owner)),
    isMoreDue:
      rows.length >= claim.limit || rows.some((row) => (counts.get(row.endpointId) ?? 0) >= row.share),
    fullEndpoints: new Set(full.map(({ endpointId }) => idOf('ep', endpointId))),
  };
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
  url: string;
  secret: Uint8Array;
  previousSecret: Uint8Array | null;
  previousSecretUntil: Date | null;
  /** How many its endpoint could take before this claim, and how many this claim had for it. */
  free: number;
  share: number;
};

function toClaimedDelivery(row: ClaimRow, owner: string): ClaimedDelivery {
  return {
    id: idOf('dlv', row.id),
    owner,
    fence: row.fence,
    attempts: row.attempts,
    eventId: idOf('evt', row.eventId),
    eventType: row.eventType,
    eventCreatedAt: row.eventCreatedAt,
    data: row.data,
    endpoint: {
      id: idOf('ep', row.endpointId),
      url: row.url,
      secret: row.secret,
      previousSecret: row.previousSecret,
      previousSecretUntil: row.previousSecretUntil,
    },
  };
}

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
        ${column((record) => record.owner)}::uuid[],
        ${column((record) => record.fence)}::int[],
        ${column((record) => record.startedAt.toISOString())}::timestamptz[],
        ${column((record) => record.durationMs)}::int[],
        ${column((record) => record.statusCode)}::int[],
        ${column((record) => record.errorCode)}::text[],
        ${column((record) => record.error)}::text[],
        ${column((record) => record.responseExcerpt)}::text[],
        ${column((record) => record.status)}::text[],
        ${column((record) => record.delayMs)}::bigint[]
      ) AS result (attempt_id, delivery_id, owner, fence, started_at, duration_ms, status_code, error_code, error,
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
      -- The owner as well, another one for each claim: one that a crash took back leaves its fence to the next.
      AND deliveries.status = 'pending' AND deliveries.lease_owner = result.owner
    RETURNING deliveries.id, set_config('synchronous_commit', 'off', true)`;
  const ids = new Set(moved.map(({ id }) => idOf('dlv', id)));
  return records.map((record) => ids.has(record.deliveryId));
}

/** Gives back what was claimed and not tried, so that another process need not wait for the lease to end. */
export async function releaseDeliveries(
  sql: Sql,
  claims: readonly { id: Id<'dlv'>; owner: string; fence: number }[],
): Promise<void> {
  await sql`
    UPDATE deliveries SET lease_owner = NULL, next_attempt_at = now()
    FROM unnest(
      ${claims.map(({ id }) => uuidOf(id))}::uuid[],
      ${claims.map(({ owner }) => owner)}::uuid[],
      ${claims.map(({ fence }) => fence)}::int[]
    ) AS claim (id, owner, fence)
    WHERE deliveries.id = claim.id AND deliveries.fence = claim.fence AND deliveries.status = 'pending'
      AND deliveries.lease_owner = claim.owner`;
}
