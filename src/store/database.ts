import { drizzle, type PostgresJsDatabase } from 'drizzle-orm/postgres-js';
import postgres, { type Sql } from 'postgres';
import { withDeadline } from './deadline.ts';
import * as schema from './schema.ts';
import { createSockets, type Where } from './sockets.ts';
import { createTransactions, type Transaction } from './transactions.ts';

export type Drizzle = PostgresJsDatabase<typeof schema>;
export type { Transaction } from './transactions.ts';

/**
 * The pools of one process on one PostgreSQL. Three, because each must not wait for the other: what reads may be
 * slow, what ingests may not, and a transaction needs a connection to itself.
 */
export type Database = {
  /** Single statements of the API. Answers times as text, as drizzle wants them: use through drizzle alone. */
  readonly db: Drizzle;
  /** Single prepared statements of the hot path: ingest, claims, attempts. */
  readonly hot: Sql;
  transaction<T>(run: (tx: Transaction) => Promise<T>): Promise<T>;
  /** Calls `onNotify` for each NOTIFY on `channel`, and once after each (re)connection, when some may be missed. */
  listen(channel: string, onNotify: () => void): Promise<{ unlisten(): Promise<void> }>;
  /** So long a caller waits for an answer; then it is told that the store is away. */
  readonly deadlineMs: number;
  /** Waits for what is quick while the store is well. Where it is not answered in time, dead connections are ended. */
  inTime<T>(work: Promise<T>): Promise<T>;
  close(): Promise<void>;
};

/** Longer than any statement of the hot path should take, shorter than the minute that Apps Script's fetch waits. */
const DEADLINE_MS = 15_000;

/** Waits this long for a connection: a database that is away should be told to the caller, not waited for. */
const CONNECT_TIMEOUT_S = 5;
const MAX_BACKOFF_S = 2;

export function openDatabase(url: string, { deadlineMs = DEADLINE_MS } = {}): Database {
  const sockets = createSockets(deadlineMs / 3);
  const pool = (max: number, onOver?: () => void) => {
    // The driver takes it, and its types do not know it.
    const socket: object = { socket: (where: Where) => sockets.connect(where, onOver) };
    return postgres(url, {
      max,
      connect_timeout: CONNECT_TIMEOUT_S,
      // The driver's default waits up to 20 s after a restart of the database; the next mail should not.
      backoff: (retries: number) => Math.min(MAX_BACKOFF_S, 0.05 * 2 ** retries),
      connection: { application_name: 'mailgress' },
      onnotice: () => {},
      // Its timer would outlive a client that is thrown away.
      ...(onOver && { max_lifetime: null }),
      ...socket,
    });
  };

  const general = pool(6);
  const hot = pool(4);
  const transactions = createTransactions(3, (onOver) => pool(1, onOver));
  const notifications = pool(1);
  const db = drizzle(general, { schema });

  return {
    db,
    hot,
    transaction: (run) => transactions.run(run),
    deadlineMs,
    inTime: (work) => withDeadline(work, deadlineMs, sockets.endSilent),
    listen: (channel, onNotify) => notifications.listen(channel, onNotify, onNotify),
    async close() {
      const pools = [general, hot, notifications].map((sql) => sql.end({ timeout: 5 }));
      await Promise.all([...pools, transactions.end()]);
    },
  };
}
