import { type AnyColumn, desc, lt, type SQL, sql } from 'drizzle-orm';

/** A part of a list, newest first: at most `limit` rows behind the row `after` (exclusive). */
export type PageRequest = { limit: number; after: string | undefined };
export type Page<T> = { data: T[]; next: string | undefined };

/** The condition and order of a list by its id column; ids lead with the time, so newest first is id descending. */
export function pageOf(id: AnyColumn, page: PageRequest): { where: SQL; orderBy: SQL; limit: number } {
  return {
    where: page.after === undefined ? sql`true` : lt(id, page.after),
    orderBy: desc(id),
    // One more than asked for tells whether there is a next page.
    limit: page.limit + 1,
  };
}

/** Cuts the surplus row off again; `next` is the id to go on behind. */
export function toPage<T extends { id: string }>(rows: T[], page: PageRequest): Page<T> {
  const data = rows.slice(0, page.limit);
  return { data, next: rows.length > page.limit ? data.at(-1)?.id : undefined };
}
