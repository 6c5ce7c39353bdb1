import type { Sql } from 'postgres';

/** How the database stands, for whoever watches. */
export type Statistics = {
  pendingDeliveries: number;
  /** Of the oldest pending delivery that is neither held by a rule nor of a disabled endpoint; 0 if there is none. */
  oldestPendingSeconds: number;
  /** How long the one of an enabled endpoint that is most overdue has been due. */
  overdueSeconds: number;
  /** How long a transaction that writes has been running: so far behind the feed may be. */
  feedLagSeconds: number;
  sources: { kind: string; state: string; count: number }[];
  deadTuples: { table: string; count: number }[];
};

/** Those whose rows change often. */
const HOT_TABLES = ['deliveries', 'endpoints', 'imap_folders', 'messages', 'sources', 'stubs'];

/**
 * In one statement. Its cost grows with what is pending, not with what has been done.
 *
 * Only the transactions of our own role are seen, unless it may read all statistics (`pg_read_all_stats`).
 */
export async function readStatistics(sql: Sql): Promise<Statistics> {
  const [row] = await sql<[Statistics]>`
    WITH pending AS MATERIALIZED (
      SELECT count(*)::int AS count,
             -- What is parked is younger than the first of its lane.
             extract(epoch FROM now() - min(deliveries.created_at) FILTER (
               WHERE is_enabled AND next_attempt_at < 'infinity' AND (rule IS NULL OR next_attempt_at <= now())
             ))::float8 AS oldest,
             -- Of one under way that is the end of its lease.
             extract(epoch FROM now() - min(nullif(next_attempt_at, 'infinity')) FILTER (WHERE is_enabled))::float8 AS overdue
      FROM deliveries LEFT JOIN endpoints ON endpoints.id = endpoint_id WHERE status = 'pending'
    ), writing AS (
      SELECT xact_start AS since FROM pg_stat_activity WHERE backend_xid IS NOT NULL
      UNION ALL SELECT prepared FROM pg_prepared_xacts
    ), standing AS (
      SELECT kind, state, count(*)::int AS count FROM sources GROUP BY kind, state
    )
    SELECT pending.count AS "pendingDeliveries", coalesce(oldest, 0) AS "oldestPendingSeconds",
           greatest(coalesce(overdue, 0), 0) AS "overdueSeconds",
           (SELECT greatest(coalesce(extract(epoch FROM clock_timestamp() - min(since)), 0), 0)::float8
            FROM writing) AS "feedLagSeconds",
           (SELECT coalesce(json_agg(standing ORDER BY kind, state), '[]') FROM standing) AS sources,
           (SELECT coalesce(json_agg(json_build_object('table', relname, 'count', n_dead_tup) ORDER BY relname), '[]')
            FROM pg_stat_user_tables
            WHERE schemaname = current_schema() AND relname = ANY (${HOT_TABLES}::text[])) AS "deadTuples"
    FROM pending`;
  return row;
}
