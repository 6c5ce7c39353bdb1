import postgres, { type Sql } from 'postgres';
import { arrayTypes } from './array-types.ts';
import { withDeadline } from './deadline.ts';
import { createListener, type Listener } from './listener.ts';
import { createPool } from './pool.ts';
import { createSearchTurns, SEARCHES_AT_ONCE, type SearchTurns } from './search-turns.ts';
import { createSockets, type Where } from './sockets.ts';

/**
 * The pools of one process on one PostgreSQL: what reads may be slow, what ingests may not wait for it.
 *
 * Every operation of the store is one statement. So there is no BEGIN, which the driver cannot keep apart from other
 * queries (porsager/postgres #1210, #1218) nor survive the loss of (#1154, #1208); a pooler in transaction mode will
 * do; and what an operation does is done or not, at one commit.
 */
export type Database = {
  /** The API's statements. */
  readonly sql: Sql;
  /** The hot path: ingest, claims, attempts. */
  readonly hot: Sql;
  /** For whether it answers at all, which is not to wait behind what is busy. */
  readonly probe: Sql;
  /** What may take seconds: searches, and the index they look in. */
  readonly search: Sql;
  /** Does a search when it is its turn. @throws MailgressError `overloaded` if that is not within some seconds. */
  readonly inSearch: SearchTurns;
  /** Calls `onNotify` for each NOTIFY on `channel`, and once after each (re)connection, when some may be missed. */
  listen(channel: string, onNotify: () => void): void;
  /** Calls after connections ended by themselves, once for those that end together. */
  onLost(listener: () => void): void;
  /** So long a caller waits for an answer; then it is told that the store is away. */
  readonly deadlineMs: number;
  /** Waits for what is quick while the store is well. Where it is not answered in time, dead connections are ended. */
  inTime<T>(work: Promise<T>, ms?: number): Promise<T>;
  /** How much of each pool is in use. */
  pools(): { pool: string; connections: number; statements: number }[];
  close(): Promise<void>;
};

/** By which the connections of services are known at the server. */
export const APPLICATION_NAME = 'mailgress';

/** Longer than any statement of the hot path should take, shorter than the minute that Apps Script's fetch waits. */
const DEADLINE_MS = 15_000;

/** Those that end together end within it. */
const LOST_MS = 100;

export function openDatabase(url: string, { deadlineMs = DEADLINE_MS } = {}): Database {
  const sockets = createSockets(deadlineMs / 3);
  const lostListeners: (() => void)[] = [];
  let lostTimer: NodeJS.Timeout | undefined;
  let isClosed = false;
  const onLost = () => {
    if (isClosed) return;
    lostTimer ??= setTimeout(() => {
      lostTimer = undefined;
      for (const listener of lostListeners) listener();
    }, LOST_MS);
  };
  const connect = (onOver: () => void) => {
    // The driver takes it, and its types do not know it.
    const socket: object = {
      socket: (where: Where) =>
        sockets.connect(where, () => {
          onOver();
          onLost();
        }),
    };
    return postgres(url, {
      max: 1,
      // Timers of its own, which outlive a client that is thrown away; see `createSockets`.
      connect_timeout: 0,
      max_lifetime: null,
      fetch_types: false,
      types: arrayTypes,
      connection: { application_name: APPLICATION_NAME },
      onnotice: () => {},
      ...socket,
    });
  };
  const sql = createPool(6, connect);
  const hot = createPool(4, connect);
  const probe = createPool(1, connect);
  // One more, for what writes the index.
  const search = createPool(SEARCHES_AT_ONCE + 1, connect);
  const listeners: Listener[] = [];
  const inTime: Database['inTime'] = (work, ms = deadlineMs) => withDeadline(work, ms, sockets.endSilent);

  return {
    sql,
    hot,
    probe,
    search,
    inSearch: createSearchTurns({ search, api: sql, inTime }),
    deadlineMs,
    inTime,
    onLost: (listener) => void lostListeners.push(listener),
    listen: (channel, onNotify) => void listeners.push(createListener(connect, channel, onNotify)),
    pools: () => [
      { pool: 'api', ...sql.use() },
      { pool: 'hot', ...hot.use() },
      { pool: 'probe', ...probe.use() },
      { pool: 'search', ...search.use() },
    ],
    async close() {
      isClosed = true;
      clearTimeout(lostTimer);
      await Promise.all([...listeners, sql, hot, probe, search].map((one) => one.end({ timeout: 5 })));
    },
  };
}
