import type { Sql } from 'postgres';

/**
 * The time by PostgreSQL's clock, which all that it has written by `now()` is before: ours may be ahead or behind. Rounded up,
 * since it counts microseconds.
 */
export async function readClock(sql: Sql): Promise<Date> {
  const [row] = await sql<[{ now: Date }]>`
    SELECT date_trunc('milliseconds', clock_timestamp()) + interval '1 millisecond' AS now`;
  return row.now;
}
