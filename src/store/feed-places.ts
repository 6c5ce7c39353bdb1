import type { Sql } from 'postgres';

/*
 * Events stand in the log by the number of their transaction, and these numbers are those of one cluster. In a database that was
 * copied into another one, what is new could stand before the old events, or before the places that readers were given: they
 * would never see it. So an event's place is the number plus a base, `mailgress_place` (drizzle/), which is raised when the
 * cluster is another one than it was. Places only grow, so cursors of before the move hold.
 */

/**
 * Raises the base when the database has moved: PostgreSQL's system identifier is another, or there are events whose
 * places are still to come. To be called before anything is written. Safe at once from several processes: writers
 * wait, one raises, the others find nothing to do.
 *
 * @returns whether it was raised.
 */
export async function raiseFeed(sql: Sql): Promise<boolean> {
  const [row] = await sql<[{ isRaised: boolean }]>`SELECT mailgress_raise_feed() AS "isRaised"`;
  return row.isRaised;
}
