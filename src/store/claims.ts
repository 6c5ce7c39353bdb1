import type { Sql } from 'postgres';
import { type Id, idOf, uuidOf } from '../core/ids.ts';
import type { Rules } from '../core/rules.ts';
import type { Lane } from './lanes.ts';
import type { OlderSecret } from './secrets.ts';

/*
 * Claims and records are committed without waiting for the disk. What a crash of PostgreSQL takes back, for a fraction
 * of a second, is that a delivery was claimed or made: it is made again, under the same id, as at least once permits.
 * Waiting made two of the three writes to disk between a mail and its webhook. The setting holds for the statement's
 * own transaction, so a pooler is no matter.
 *
 * Nothing about rules is here: a claim hands them over with the delivery, and the dispatcher judges.
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
  tenant: string;
  mailboxId: Id<'mbx'> | null;
  /** JSON text of the event's `data`; null if what it was about has been deleted. */
  data: string | null;
  /** As a uuid; nil if it is none. */
  replayId: string;
  /** Whose turn it took, of an endpoint with an order. */
  lane: Lane | null;
  /** Asked for by hand, or by a replay that does. */
  ignoresRules: boolean;
  /** Of a replay that was cancelled, and not asked for by hand. */
  isCancelled: boolean;
  endpoint: {
    id: Id<'ep'>;
    url: string;
    types: string[];
    rules: Rules;
    ratePerSecond: number | null;
    headers: Uint8Array | null;
    secret: Uint8Array;
    previousSecret: Uint8Array | null;
    previousSecretUntil: Date | null;
    olderSecrets: OlderSecret[];
  };
};

/** What a claim got, and where more may be had. */
export type Claim = {
  /** Oldest event first. */
  deliveries: ClaimedDelivery[];
  /** An endpoint got its whole share of this claim: more of its deliveries may be due right now. */
  isMoreDue: boolean;
  /** Of the endpoints in this claim, those with no room for another until one under way ends. */
  fullEndpoints: ReadonlySet<Id<'ep'>>;
  /** Lanes in which one was parked behind another, or ended for want of its event: the first of each may be to wake. */
  parkedIn: Lane[];
};

/**
 * Claims due deliveries, oldest first within an endpoint, none above its `maxInFlight` (which counts over all
 * processes, but softly: two that claim in the same instant do not see each other).
 *
 * Of a lane only the oldest unfinished one is taken; what is due behind it is parked, so that no later claim looks at it
 * again. An endpoint with a rate has a time up to which it is served, which each claim moves on: softly too.
 *
 * Every endpoint with something due gets an equal share of `limit`, so that a long queue keeps no other waiting. What
 * the others leave of theirs is for the next claim.
 *
 * A claim is a lease: it makes the delivery due again when it ends. So a holder that died needs no one to notice.
 *
 * One whose event is gone can never be sent: it is deleted, by a statement more. Nothing should leave such a one behind.
 */
export async function claimDueDeliveries(
  sql: Sql,
  claim: { owner: string; limit: number; leaseMs: number },
): Promise<Claim> {
  const rows = await sql<(ClaimRow | OrphanRow)[]>`
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
        SELECT least(
          endpoints.max_in_flight - count(*),
          -- At a slow rate one at a time, at a fast one what a tenth of a second holds.
          floor(0.001 + endpoints.rate_per_second * (
            greatest(0.1, 1.0 / endpoints.rate_per_second)
            - greatest(0, extract(epoch FROM endpoints.paced_until - now()))))
        )::int AS free FROM deliveries
        WHERE endpoint_id = endpoints.id AND status = 'pending'
          AND lease_owner IS NOT NULL AND next_attempt_at > now()
      ) leased
      WHERE waiting.next_attempt_at <= now() AND endpoints.is_enabled AND free > 0
    ), due AS (
      SELECT oldest.id, oldest.lane IS NOT NULL AND oldest.event_id > (
        SELECT first.event_id FROM deliveries first
        WHERE first.endpoint_id = room.endpoint_id AND first.replay_id = oldest.replay_id
          AND first.lane = oldest.lane AND first.status = 'pending'
        ORDER BY first.event_id LIMIT 1
      ) AS is_behind
      -- In random order, for when there are more endpoints than the limit.
      FROM (SELECT * FROM room ORDER BY random()) room CROSS JOIN LATERAL (
        SELECT id, replay_id, lane, event_id FROM deliveries
        WHERE endpoint_id = room.endpoint_id AND status = 'pending' AND next_attempt_at <= now()
        ORDER BY next_attempt_at, id
        LIMIT least(room.free, room.share)
        FOR UPDATE SKIP LOCKED
      ) oldest
      LIMIT ${claim.limit}
    ), claimed AS (
      UPDATE deliveries SET
        lease_owner = CASE WHEN NOT is_behind THEN ${claim.owner}::uuid END,
        fence = fence + 1,
        next_attempt_at = CASE WHEN is_behind THEN 'infinity'
          ELSE now() + ${claim.leaseMs}::int * interval '1 millisecond' END
      FROM due WHERE deliveries.id = due.id
      RETURNING deliveries.id, fence, attempts, event_id, endpoint_id, replay_id, lane, ignores_rules, is_behind
    ), paced AS (
      UPDATE endpoints SET
        paced_until = greatest(paced_until, now()) + taken.count * interval '1 second' / rate_per_second
      FROM (SELECT endpoint_id, count(*) AS count FROM claimed WHERE NOT is_behind GROUP BY endpoint_id) taken
      WHERE endpoints.id = taken.endpoint_id AND rate_per_second IS NOT NULL
    )
    SELECT claimed.id, claimed.fence, claimed.attempts, claimed.replay_id AS "replayId", claimed.lane,
           claimed.is_behind AS "isBehind",
           claimed.ignores_rules OR coalesce(replays.ignores_rules, false) AS "ignoresRules",
           coalesce(replays.status = 'cancelled', false) AND NOT claimed.ignores_rules AS "isCancelled",
           events.tenant, events.mailbox_id AS "mailboxId",
           endpoints.types, endpoints.rules, endpoints.rate_per_second AS "ratePerSecond", endpoints.headers,
           events.id AS "eventId", events.type AS "eventType", events.created_at AS "eventCreatedAt",
           -- The data of a message's event is the message, or a note for the feed that it was deleted.
           CASE events.type WHEN 'message.received' THEN messages.document ELSE events.data END::text AS data,
           endpoints.id AS "endpointId", endpoints.url, endpoints.secret,
           endpoints.previous_secret AS "previousSecret",
           endpoints.previous_secret_until AS "previousSecretUntil",
           endpoints.older_secrets AS "olderSecrets", room.free, room.share, set_config('synchronous_commit', 'off', true)
    FROM claimed
    JOIN room ON room.endpoint_id = claimed.endpoint_id
    JOIN endpoints ON endpoints.id = claimed.endpoint_id
    LEFT JOIN events ON events.id = claimed.event_id
    LEFT JOIN messages ON messages.id = events.id
    LEFT JOIN replays ON replays.id = claimed.replay_id
    ORDER BY events.created_at, events.id`;

  const orphans = rows.filter((row) => row.eventId === null);
  if (orphans.length > 0) await deleteOrphans(sql, orphans);
  const counts = new Map<string, number>();
  for (const { endpointId } of rows) counts.set(endpointId, (counts.get(endpointId) ?? 0) + 1);
  const countOf = ({ endpointId }: { endpointId: string }) => counts.get(endpointId) ?? 0;
  const full = rows.filter((row) => countOf(row) >= row.free);
  return {
    deliveries: rows.flatMap((row) =>
      row.isBehind || row.eventId === null ? [] : toClaimedDelivery(row, claim.owner),
    ),
    parkedIn: rows.filter(isNotToSend).flatMap((row) => laneOf(row) ?? []),
    isMoreDue:
      rows.length >= claim.limit ||
      rows.some((row) => countOf(row) >= row.share) ||
      // What was parked or deleted took the room of others, and needs it no more.
      full.some(isNotToSend),
    fullEndpoints: new Set(full.map(({ endpointId }) => idOf('ep', endpointId))),
  };
}

const isNotToSend = (row: ClaimRow | OrphanRow) => row.isBehind || row.eventId === null;

/** Looks for their events once more: what is deleted is deleted for good. */
async function deleteOrphans(sql: Sql, orphans: readonly OrphanRow[]): Promise<void> {
  await sql`
    WITH orphans AS (
      DELETE FROM deliveries
      WHERE id = ANY (${orphans.map(({ id }) => id)}::uuid[])
        AND NOT EXISTS (SELECT FROM events WHERE events.id = deliveries.event_id)
      RETURNING id
    )
    DELETE FROM attempts WHERE delivery_id IN (SELECT id FROM orphans)`;
}

type ClaimRow = {
  id: string;
  fence: number;
  attempts: number;
  eventId: string;
  eventType: string;
  eventCreatedAt: Date;
  data: string | null;
  tenant: string;
  mailboxId: string | null;
  replayId: string;
  lane: string | null;
  isBehind: boolean;
  ignoresRules: boolean;
  isCancelled: boolean;
  endpointId: string;
  url: string;
  types: string[];
  rules: Rules;
  ratePerSecond: number | null;
  headers: Uint8Array | null;
  secret: Uint8Array;
  previousSecret: Uint8Array | null;
  previousSecretUntil: Date | null;
  olderSecrets: OlderSecret[];
  /** How many its endpoint could take before this claim, and how many this claim had for it. */
  free: number;
  share: number;
};

/** Of an event that is gone. */
type OrphanRow = Pick<ClaimRow, 'id' | 'endpointId' | 'replayId' | 'lane' | 'isBehind' | 'free' | 'share'> & {
  eventId: null;
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
    tenant: row.tenant,
    mailboxId: row.mailboxId === null ? null : idOf('mbx', row.mailboxId),
    replayId: row.replayId,
    lane: laneOf(row),
    ignoresRules: row.ignoresRules,
    isCancelled: row.isCancelled,
    endpoint: {
      id: idOf('ep', row.endpointId),
      url: row.url,
      types: row.types,
      rules: row.rules,
      ratePerSecond: row.ratePerSecond,
      headers: row.headers,
      secret: row.secret,
      previousSecret: row.previousSecret,
      previousSecretUntil: row.previousSecretUntil,
      olderSecrets: row.olderSecrets,
    },
  };
}

function laneOf({ endpointId, replayId, lane }: ClaimRow | OrphanRow): Lane | null {
  return lane === null ? null : { endpointId, replayId, mailboxId: lane };
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
