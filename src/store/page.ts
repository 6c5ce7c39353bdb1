import type { PendingQuery, Row, Sql } from 'postgres';
import { type Id, uuidOf } from '../core/ids.ts';
import { isInScope, type Scope } from './scope.ts';

/** A part of a list, newest first: at most `limit` rows behind the row `after` (exclusive), of those in `scope`. */
export type PageRequest = { limit: number; after: Id | undefined; scope: Scope };
export type Page<T> = { data: T[]; next: string | undefined };

/**
 * The condition of a page, on a list's columns. Ids lead with the time, so newest first is id descending. It asks for the
 * column of the tenant, so that no list can be written that forgets whose rows they are.
 */
export function isInPage(
  sql: Sql,
  columns: { id: string; tenant: string },
  { after, scope }: PageRequest,
): PendingQuery<Row[]> {
  const isBehind = after === undefined ? sql`true` : sql`${sql(columns.id)} < ${uuidOf(after)}`;
  return sql`${isBehind} AND ${isInScope(sql, columns.tenant, scope)}`;
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
