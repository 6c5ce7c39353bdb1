import type { Sql } from 'postgres';
import { type Id, idOf } from '../core/ids.ts';

/** A place in the log: everything up to and with (xid, id) is behind it. */
export type FeedPosition = { xid: string; uuid: string };

export type FeedEvent = {
  id: Id<'evt'>;
  type: string;
  createdAt: Date;
  /** JSON text. */
  data: string;
  position: FeedPosition;
};

export type FeedPage = {
  events: FeedEvent[];
  /** Where to go on, also when there is nothing (yet). */
  next: FeedPosition;
};

const NIL_UUID = '00000000-0000-0000-0000-000000000000';
export const FEED_START: FeedPosition = { xid: '0', uuid: NIL_UUID };

/**
 * The events behind a position, in the order of the log, none skipped and none twice however often and long
 * transactions write at the same time: an event is read only once every transaction that may still bring an earlier one has
 * ended. So one long transaction in the cluster delays the feed, and loses nothing.
 *
 * @param types empty: all.
 */
export async function readFeed(
  sql: Sql,
  request: { after: FeedPosition; types: readonly string[]; limit: number },
): Promise<FeedPage> {
  const { after, types, limit } = request;
  const rows = await sql<{ id: string; xid: string; type: string; createdAt: Date; data: string }[]>`
    SELECT events.id, events.xid::text AS xid, events.type, events.created_at AS "createdAt",
           coalesce(messages.document, events.data)::text AS data
    FROM events LEFT JOIN messages ON messages.id = events.id
    WHERE (events.xid, events.id) > (${after.xid}::xid8, ${after.uuid}::uuid)
      AND events.xid < pg_snapshot_xmin(pg_current_snapshot())
      AND (cardinality(${[...types]}::text[]) = 0 OR events.type = ANY (${[...types]}::text[]))
      AND coalesce(messages.document, events.data) IS NOT NULL
    ORDER BY events.xid, events.id
    LIMIT ${limit}`;
  const events = rows.map(({ id, xid, type, createdAt, data }) => ({
    id: idOf('evt', id),
    type,
    createdAt,
    data,
    position: { xid, uuid: id },
  }));
  return { events, next: events.at(-1)?.position ?? after };
}

/** The end of what can be read now: for a reader who wants only what comes. */
export async function findFeedEnd(sql: Sql): Promise<FeedPosition> {
  const [row] = await sql<[{ xid: string }]>`SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS xid`;
  return { xid: row.xid, uuid: NIL_UUID };
}
