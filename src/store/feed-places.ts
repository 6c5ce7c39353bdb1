import type { Sql, TransactionSql } from 'postgres';

/*
 * Events stand in the log by the number of their transaction, and these numbers are those of one cluster. In a database that was
 * copied into another one, what is new could stand before the old events, or before the places that readers were given: they
 * would never see it. So an event's place is the number plus a base, `mailgress_place` (drizzle/), which is raised when the
 * cluster is another one than it was. Places only grow, so cursors of before the move hold.
 *
 * In a cluster that goes on from an earlier point, numbers of transactions that are lost are given again: readers that saw what
 * is lost would pass over what is new.
 */

/**
 * Raises the base when the database has moved, or goes on from an earlier point: PostgreSQL's system identifier is another, or
 * its timeline, which a restore to a point in time and a standby that takes over begin anew; or there are events whose places
 * are still to come. To be called before anything is written. Safe at once from several processes: writers
 * wait, one raises, the others find nothing to do.
 *
 * @returns whether it was raised.
 */
export async function raiseFeed(sql: Sql): Promise<boolean> {
  const [row] = await sql<[{ isRaised: boolean }]>`SELECT mailgress_raise_feed() AS "isRaised"`;
  return row.isRaised;
}

/** For the log, when it was. */
export const FEED_RAISED =
  'the database has moved to another cluster, or goes on from an earlier point: its log goes on behind the old events';

/** What is added to the number of a transaction, as text. */
export async function readFeedBase(sql: Sql | TransactionSql): Promise<string> {
  const [row] = await sql<[{ base: string }]>`
    SELECT (mailgress_place(xmax)::text::bigint - xmax::text::bigint)::text AS base
    FROM pg_snapshot_xmax(pg_current_snapshot()) xmax`;
  return row.base;
}

/** As it was elsewhere, so that it is raised from there: readers were given places by it that no event has. */
export async function writeFeedBase(sql: Sql | TransactionSql, base: string): Promise<void> {
  await sql.unsafe(`
    CREATE OR REPLACE FUNCTION mailgress_place(number xid8) RETURNS xid8 LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $body$
      SELECT (number::text::bigint + ${BigInt(base)})::text::xid8
    $body$`);
}
