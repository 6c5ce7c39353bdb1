import type { Sql } from 'postgres';
import { type Id, idOf } from '../core/ids.ts';

/*
 * How things stand that a person may have to see to, each in one statement.
 */

/** Mails, webhooks and stretches of history that did not get through. */
export type Behind = {
  /** Given up, over all sources; and the source with most of them. */
  failedStubs: number;
  failedStubsAt: Id<'src'> | null;
  /** Given up within the last days. */
  deadDeliveries: number;
  deadDeliveriesAt: Id<'ep'> | null;
  /** Open for more than a day. */
  oldGaps: number;
  oldGapsAt: Id<'src'> | null;
};

export async function readBehind(sql: Sql, { deadDays }: { deadDays: number }): Promise<Behind> {
  type Row = { [Name in keyof Behind]: Behind[Name] extends number ? number : string | null };
  const [row] = await sql<[Row]>`
    WITH stubbed AS (
      SELECT source_id, count(*)::int AS count FROM stubs WHERE status = 'failed' GROUP BY source_id
    ), dead AS (
      SELECT endpoint_id, count(*)::int AS count FROM deliveries
      WHERE status = 'failed' AND completed_at > now() - ${deadDays}::int * interval '1 day'
        AND endpoint_id IN (SELECT id FROM endpoints)
      GROUP BY endpoint_id
    ), gapped AS (
      SELECT source_id, count(*)::int AS count FROM gaps
      WHERE recovered_at IS NULL AND opened_at < now() - interval '1 day' GROUP BY source_id
    )
    SELECT coalesce((SELECT sum(count) FROM stubbed), 0)::int AS "failedStubs",
           (SELECT source_id FROM stubbed ORDER BY count DESC, source_id LIMIT 1) AS "failedStubsAt",
           coalesce((SELECT sum(count) FROM dead), 0)::int AS "deadDeliveries",
           (SELECT endpoint_id FROM dead ORDER BY count DESC, endpoint_id LIMIT 1) AS "deadDeliveriesAt",
           coalesce((SELECT sum(count) FROM gapped), 0)::int AS "oldGaps",
           (SELECT source_id FROM gapped ORDER BY count DESC, source_id LIMIT 1) AS "oldGapsAt"`;
  const { failedStubsAt, deadDeliveriesAt, oldGapsAt, ...counts } = row;
  return {
    ...counts,
    failedStubsAt: failedStubsAt === null ? null : idOf('src', failedStubsAt),
    deadDeliveriesAt: deadDeliveriesAt === null ? null : idOf('ep', deadDeliveriesAt),
    oldGapsAt: oldGapsAt === null ? null : idOf('src', oldGapsAt),
  };
}

/** Keys that somebody should look at, a few of them by id. */
export type KeyAges = { total: number; old: Id<'key'>[]; unused: Id<'key'>[] };

/** @param unusedDays a key that was made a moment ago is not unused yet. */
export async function readKeyAges(
  sql: Sql,
  { oldDays, unusedDays }: { oldDays: number; unusedDays: number },
): Promise<KeyAges> {
  const isBefore = (days: number) => sql`created_at < now() - ${days}::int * interval '1 day'`;
  const [row] = await sql<[{ total: number; old: string[]; unused: string[] }]>`
    SELECT count(*)::int AS total,
           coalesce(json_agg(id ORDER BY id) FILTER (WHERE ${isBefore(oldDays)}), '[]') AS old,
           coalesce(json_agg(id ORDER BY id) FILTER (WHERE last_used_at IS NULL AND ${isBefore(unusedDays)}), '[]') AS unused
    FROM api_keys`;
  const ids = (uuids: string[]) => uuids.map((uuid) => idOf('key', uuid));
  return { total: row.total, old: ids(row.old), unused: ids(row.unused) };
}

/** How many workers have said within `withinMs` that they are there. */
export async function countWorkers(sql: Sql, withinMs: number): Promise<number> {
  const [row] = await sql<[{ count: number }]>`
    SELECT count(*)::int AS count FROM workers WHERE seen_at >= now() - ${withinMs}::int * interval '1 millisecond'`;
  return row.count;
}

/** An endpoint as far as it is looked at, with the last failure of what waits to be tried again. */
export type EndpointFacts = {
  id: Id<'ep'>;
  url: string;
  isEnabled: boolean;
  disabledReason: string | null;
  /** Tries that failed since it last took a webhook, and the first of them; null if there are none. */
  failures: number;
  failingSince: Date | null;
  lastError: string | null;
  lastStatusCode: number | null;
};

export const MAX_ENDPOINTS = 500;

export async function readEndpointFacts(sql: Sql): Promise<EndpointFacts[]> {
  const rows = await sql<(Omit<EndpointFacts, 'id'> & { id: string })[]>`
    SELECT endpoints.id, url, is_enabled AS "isEnabled", disabled_reason AS "disabledReason",
           recent_failures AS failures, coalesce(failing_since, recent_failures_since) AS "failingSince", last_error AS "lastError", last_status_code AS "lastStatusCode"
    FROM endpoints LEFT JOIN LATERAL (
      SELECT last_error, last_status_code FROM deliveries
      WHERE endpoint_id = endpoints.id AND status = 'pending' AND deliveries.attempts > 0
      ORDER BY next_attempt_at, id LIMIT 1
    ) waiting ON recent_failures > 0 OR failing_since IS NOT NULL
    ORDER BY endpoints.id LIMIT ${MAX_ENDPOINTS}`;
  return rows.map((row) => ({ ...row, id: idOf('ep', row.id) }));
}
