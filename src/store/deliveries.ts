import type { Sql } from 'postgres';
import { MailgressError } from '../core/errors.ts';
import { firstUuidAt, type Id, idOf, uuidOf } from '../core/ids.ts';
import type { Attempt, Delivery, DeliveryStatus } from '../core/resources.ts';
import { inPageOrder, isInPage, type Page, type PageRequest, toPage } from './page.ts';
import { NO_REPLAY } from './replays.ts';

export async function listDeliveries(
  sql: Sql,
  request: PageRequest & {
    endpointId?: Id<'ep'> | undefined;
    status?: DeliveryStatus | undefined;
    /** Those queued from then on. */
    since?: Date | undefined;
  },
): Promise<Page<Delivery>> {
  const { endpointId, status, since } = request;
  const rows = await sql<DeliveryRow[]>`
    ${selectDeliveries(sql)}
    WHERE ${isInPage(sql, { id: 'deliveries.id', tenant: 'endpoints.tenant' }, request)}
      ${endpointId === undefined ? sql`` : sql`AND endpoint_id = ${uuidOf(endpointId)}`}
      ${status === undefined ? sql`` : sql`AND status = ${status}`}
      ${since === undefined ? sql`` : sql`AND deliveries.id >= ${firstUuidAt(since)}::uuid`}
    ${inPageOrder(sql, 'deliveries.id', request)}`;
  return toPage(rows.map(toDelivery), request);
}

/** The delivery with its attempts, first one first. */
export async function findDelivery(
  sql: Sql,
  id: Id<'dlv'>,
): Promise<(Delivery & { attempts: Attempt[] }) | undefined> {
  const [row] = await sql<DeliveryRow[]>`${selectDeliveries(sql)} WHERE deliveries.id = ${uuidOf(id)}`;
  if (row === undefined) return undefined;
  const attempts = await sql<AttemptRow[]>`
    SELECT id, started_at AS "startedAt", duration_ms AS "durationMs", status_code AS "statusCode",
           error_code AS "errorCode", error, response_excerpt AS "responseExcerpt"
    FROM attempts WHERE delivery_id = ${uuidOf(id)} ORDER BY started_at, id`;
  return {
    ...toDelivery(row),
    attempts: attempts.map((attempt) => ({
      ...attempt,
      id: idOf('att', attempt.id),
      startedAt: attempt.startedAt.toISOString(),
    })),
  };
}

/**
 * Makes a delivery due now, whatever became of it and whatever rules say, also if its replay was cancelled. One that is
 * under way is left to end; should it fail, it goes on so.
 *
 * @returns false if there is none.
 * @throws MailgressError `conflict` when its endpoint was deleted.
 */
export async function retryDelivery(sql: Sql, id: Id<'dlv'>): Promise<boolean> {
  const [row] = await sql<{ hasEndpoint: boolean }[]>`
    WITH asked AS (
      UPDATE deliveries SET ignores_rules = true, status = 'pending', rule = NULL, completed_at = NULL,
        lease_owner = CASE WHEN next_attempt_at > now() THEN lease_owner END,
        next_attempt_at = CASE
          WHEN lease_owner IS NOT NULL AND next_attempt_at > now() THEN next_attempt_at ELSE now() END
      WHERE id = ${uuidOf(id)} AND EXISTS (SELECT FROM endpoints WHERE endpoints.id = endpoint_id)
    )
    SELECT EXISTS (SELECT FROM endpoints WHERE endpoints.id = endpoint_id) AS "hasEndpoint"
    FROM deliveries WHERE id = ${uuidOf(id)}`;
  if (row?.hasEndpoint === false) {
    throw new MailgressError('conflict', `The endpoint of delivery ${id} was deleted`);
  }
  return row !== undefined;
}

/** So many at a time keep within the deadline of a statement. */
const RETRIES_AT_ONCE = 5000;

/**
 * Makes those deliveries of an endpoint due now that were given up in between; each is tried once more. Not those of a replay
 * that was cancelled. A part of them: call again until it answers 0.
 */
export async function retryFailed(
  sql: Sql,
  endpointId: Id<'ep'>,
  { since, before }: { since: Date; before: Date },
): Promise<number> {
  const rows = await sql`
    UPDATE deliveries SET status = 'pending', next_attempt_at = now(), completed_at = NULL
    WHERE id IN (
      SELECT id FROM deliveries
      WHERE endpoint_id = ${uuidOf(endpointId)} AND status = 'failed' AND completed_at >= ${since} AND completed_at < ${before}
        AND NOT EXISTS (SELECT FROM replays WHERE replays.id = replay_id AND replays.status = 'cancelled')
      ORDER BY completed_at LIMIT ${RETRIES_AT_ONCE}
    ) AND status = 'failed'
    RETURNING id`;
  return rows.length;
}

type AttemptRow = Omit<Attempt, 'startedAt'> & { startedAt: Date };

type DeliveryRow = Omit<Delivery, 'messageId' | 'nextAttemptAt' | 'createdAt' | 'completedAt'> & {
  /** Null: it is parked behind another of its lane. */
  nextAttemptAt: Date | null;
  isLeased: boolean;
  createdAt: Date;
  completedAt: Date | null;
};

function selectDeliveries(sql: Sql) {
  return sql`
    SELECT deliveries.id, endpoint_id AS "endpointId", event_id AS "eventId", events.type AS "eventType", status,
           attempts AS "attemptCount", nullif(replay_id, ${NO_REPLAY}::uuid) AS "replayId", rule,
           nullif(next_attempt_at, 'infinity') AS "nextAttemptAt", lease_owner IS NOT NULL AS "isLeased",
           last_status_code AS "lastStatusCode", last_error AS "lastError", deliveries.created_at AS "createdAt",
           completed_at AS "completedAt"
    FROM deliveries JOIN events ON events.id = event_id
    -- A record outlives its endpoint, and is then nobody's but those who see all tenants.
    LEFT JOIN endpoints ON endpoints.id = endpoint_id`;
}

function toDelivery({ isLeased, ...row }: DeliveryRow): Delivery {
  const isWaiting = row.status === 'pending' && !isLeased;
  return {
    id: idOf('dlv', row.id),
    endpointId: idOf('ep', row.endpointId),
    eventId: idOf('evt', row.eventId),
    eventType: row.eventType,
    messageId: row.eventType === 'message.received' ? idOf('msg', row.eventId) : null,
    replayId: row.replayId === null ? null : idOf('rpl', row.replayId),
    status: row.status,
    rule: row.rule,
    attemptCount: row.attemptCount,
    nextAttemptAt: isWaiting ? (row.nextAttemptAt?.toISOString() ?? null) : null,
    lastStatusCode: row.lastStatusCode,
    lastError: row.lastError,
    createdAt: row.createdAt.toISOString(),
    completedAt: row.completedAt?.toISOString() ?? null,
  };
}
