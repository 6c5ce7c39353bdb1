import { drizzle, type PostgresJsDatabase } from 'drizzle-orm/postgres-js';
import postgres, { type Sql } from 'postgres';
import * as schema from './schema.ts';

export type Drizzle = PostgresJsDatabase<typeof schema>;
export type Transaction = Parameters<Parameters<Drizzle['transaction']>[0]>[0];

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
  close(): Promise<void>;
};

/** Waits this long for a connection: a database that is away should be told to the caller, not waited for. */
const CONNECT_TIMEOUT_S = 5;
const MAX_BACKOFF_S = 2;

export function openDatabase(url: string): Database {
  const pool = (max: number, options: { max_pipeline?: number } = {}) =>
    postgres(url, {
      max,
      connect_timeout: CONNECT_TIMEOUT_S,
      // The driver's default waits up to 20 s after a restart of the database; the next mail should not.
      backoff: (retries: number) => Math.min(MAX_BACKOFF_S, 0.05 * 2 ** retries),
      connection: { application_name: 'mailgress' },
      onnotice: () => {},
      ...options,
    });

  const general = pool(6);
  const hot = pool(4);
  // porsager/postgres #1210, #1218: when BEGIN fills a connection's pipeline, unrelated queries join the transaction.
  const transactions = pool(3, { max_pipeline: 1 });
  const notifications = pool(1);
  const db = drizzle(general, { schema });
  const transactional = drizzle(transactions, { schema });

  return {
    db,
    hot,
    transaction: (run) => transactional.transaction(run),
    listen: (channel, onNotify) => notifications.listen(channel, onNotify, onNotify),
    async close() {
      await Promise.all([general, hot, transactions, notifications].map((sql) => sql.end({ timeout: 5 })));
    },
  };
}
