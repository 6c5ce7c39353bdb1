import type { Fragment, Sql } from 'postgres';
import { type Id, idOf } from '../core/ids.ts';
import { isInScope, type Scope } from './scope.ts';

/** A place in the log: everything up to and with (xid, id) is behind it. */
export type FeedPosition = { xid: string; uuid: string };

export type FeedEvent = {
  id: Id<'evt'>;
  type: string;
  tenant: string;
  createdAt: Date;
  /** JSON text. */
  data: string;
  position: FeedPosition;
};

export type FeedPage = {
  events: FeedEvent[];
  /** Where to go on, also when there is nothing (yet). */
  next: FeedPosition;
  /** It was asked for what is behind a place that this log has not come to: the place is none of its own. */
  isBeyond: boolean;
  /** Others are stored that cannot be read yet, since a transaction that began before them still runs. */
  isHeldBack: boolean;
};

type EventRow = { id: string; xid: string; type: string; tenant: string; createdAt: Date; data: string };
/** Of the outer join, when there is nothing. */
type NoEventRow = { id: null; xid: null; type: null; tenant: null; createdAt: null; data: null };
type HorizonRow = { horizon: string; isHeldBack: boolean };

const NIL_UUID = '00000000-0000-0000-0000-000000000000';
export const FEED_START: FeedPosition = { xid: '0', uuid: NIL_UUID };

/** Less than 0 if `a` comes before `b`, 0 if they are one place. */
export function compareFeedPositions(a: FeedPosition, b: FeedPosition): number {
  // Numbers in decimal without leading zeros: the longer one is the greater, and too great for a double.
  if (a.xid !== b.xid) return a.xid.length - b.xid.length || (a.xid < b.xid ? -1 : 1);
  const [left, right] = [a.uuid.replaceAll('-', ''), b.uuid.replaceAll('-', '')];
  return left === right ? 0 : left < right ? -1 : 1;
}

/**
 * The events behind a position, in the order of the log, none skipped and none twice however often and long
 * transactions write at the same time: an event is read only once every transaction that may still bring an earlier one has
 * ended. So one long transaction in the cluster delays the feed, and loses nothing.
 *
 * @param types empty: all.
 * @param tenant undefined: those of all.
 */
export async function readFeed(
  sql: Sql,
  request: { scope: Scope; after: FeedPosition; types: readonly string[]; limit: number },
): Promise<FeedPage> {
  const { scope, after, types, limit } = request;
  const rows = await sql<(HorizonRow & (EventRow | NoEventRow))[]>`
    WITH horizon AS MATERIALIZED (
      SELECT xmin AS xid, coalesce(${lastXid(sql)} >= xmin, false) AS is_held_back
      FROM mailgress_place(pg_snapshot_xmin(pg_current_snapshot())) xmin
    )
    SELECT horizon.xid::text AS horizon, horizon.is_held_back AS "isHeldBack", page.*
    FROM horizon LEFT JOIN LATERAL (
      SELECT events.id, events.xid::text AS xid, events.type, events.tenant, events.created_at AS "createdAt",
             coalesce(messages.document, events.data)::text AS data, events.xid AS place
      FROM events LEFT JOIN messages ON messages.id = events.id
      WHERE (events.xid, events.id) > (${after.xid}::xid8, ${after.uuid}::uuid) AND events.xid < horizon.xid
        AND ${isInScope(sql, 'events.tenant', scope)}
        AND (cardinality(${[...types]}::text[]) = 0 OR events.type = ANY (${[...types]}::text[]))
        AND coalesce(messages.document, events.data) IS NOT NULL
      ORDER BY events.xid, events.id
      LIMIT ${limit}
    ) page ON true
    ORDER BY page.place, page.id`;
  const events = rows.flatMap(({ id, xid, type, tenant, createdAt, data }): FeedEvent[] =>
    id === null ? [] : [{ id: idOf('evt', id), type, tenant, createdAt, data, position: { xid, uuid: id } }],
  );
  const last = events.at(-1)?.position ?? after;
  // Not full: all below the horizon has been looked at, so that a rare type is not sought there again.
  const horizon = rows[0]?.horizon;
  const isAtHorizon = events.length < limit && horizon !== undefined && BigInt(horizon) > BigInt(last.xid);
  const next = isAtHorizon ? { xid: horizon, uuid: NIL_UUID } : last;
  const isBeyond = horizon !== undefined && compareFeedPositions(after, { xid: horizon, uuid: NIL_UUID }) > 0;
  return { events, next, isBeyond, isHeldBack: rows[0]?.isHeldBack ?? false };
}

/**
 * The last place of the log: by a probe of its index. Asked whether there is an event behind the horizon, PostgreSQL takes
 * a third of the table for one, and reads it all to find none.
 */
export function lastXid(sql: Sql): Fragment {
  return sql`(SELECT xid FROM events ORDER BY xid DESC, id DESC LIMIT 1)`;
}

/** The end of what can be read now: for a reader who wants only what comes. */
export async function findFeedEnd(sql: Sql): Promise<FeedPosition> {
  const [row] = await sql<[{ xid: string }]>`
    SELECT mailgress_place(pg_snapshot_xmin(pg_current_snapshot()))::text AS xid`;
  return { xid: row.xid, uuid: NIL_UUID };
}
