import type { PendingQuery, Row, Sql } from 'postgres';
import { type Id, uuidOf } from '../core/ids.ts';

/** A part of a list, newest first: at most `limit` rows behind the row `after` (exclusive). */
export type PageRequest = { limit: number; after: Id | undefined };
export type Page<T> = { data: T[]; next: string | undefined };

/** The condition of a page on a list's id column. Ids lead with the time, so newest first is id descending. */
export function isBehind(sql: Sql, idColumn: string, { after }: PageRequest): PendingQuery<Row[]> {
  return after === undefined ? sql`true` : sql`${sql(idColumn)} < ${uuidOf(after)}`;
}

/** Its end: one row more than asked for tells whether there is a next page. */
export function inPageOrder(sql: Sql, idColumn: string, { limit }: PageRequest): PendingQuery<Row[]> {
  return sql`ORDER BY ${sql(idColumn)} DESC LIMIT ${limit + 1}`;
}

/** Cuts the surplus row off again; `next` is the id to go on behind. */
export function toPage<T extends { id: string }>(rows: T[], { limit }: PageRequest): Page<T> {
  const data = rows.slice(0, limit);
  return { data, next: rows.length > limit ? data.at(-1)?.id : undefined };
}
