import { drizzle, type PostgresJsDatabase } from 'drizzle-orm/postgres-js';
import type { Sql } from 'postgres';
import * as schema from './schema.ts';
import { storeUnavailable } from './unavailable.ts';

type Drizzle = PostgresJsDatabase<typeof schema>;
export type Transaction = Parameters<Parameters<Drizzle['transaction']>[0]>[0];

export type Transactions = {
  /** @throws what `work` throws, its statements undone; `store_unavailable` when the connection ended under it. */
  run<T>(work: (tx: Transaction) => Promise<T>): Promise<T>;
  end(): Promise<void>;
};

type Client = { sql: Sql; db: Drizzle; ended: Promise<never>; isOver: boolean };

/**
 * Runs transactions, at most `max` at a time, each on a connection that nobody else uses.
 *
 * Each connection is a client of the driver's own, thrown away when it ends: in postgres 3.4.9 a transaction's
 * connection does not recover (see `DriverSocket`), other statements may join its transaction (porsager/postgres
 * #1210, #1218), and the ROLLBACK of one that ended is awaited for ever.
 *
 * @param connect makes a client of one connection, that calls `onOver` when it ends.
 */
export function createTransactions(max: number, connect: (onOver: () => void) => Sql): Transactions {
  const idle: Client[] = [];
  const all = new Set<Client>();
  const waiting: (() => void)[] = [];
  let running = 0;

  function createClient(): Client {
    const { promise, reject } = Promise.withResolvers<never>();
    // Between transactions nobody waits for it.
    promise.catch(() => {});
    const sql = connect(() => {
      client.isOver = true;
      reject(storeUnavailable(new Error('the connection of a transaction ended')));
    });
    const client: Client = { sql, db: drizzle(sql, { schema }), ended: promise, isOver: false };
    all.add(client);
    return client;
  }

  function takeIdle(): Client | undefined {
    for (let client = idle.pop(); client !== undefined; client = idle.pop()) {
      if (!client.isOver) return client;
      discard(client);
    }
    return undefined;
  }

  function discard(client: Client): void {
    all.delete(client);
    void client.sql.end({ timeout: 0 });
  }

  return {
    async run(work) {
      if (running >= max) await new Promise<void>((resolve) => waiting.push(resolve));
      running++;
      const client = takeIdle() ?? createClient();
      try {
        return await Promise.race([client.db.transaction(work), client.ended]);
      } finally {
        if (client.isOver) discard(client);
        else idle.push(client);
        running--;
        waiting.shift()?.();
      }
    },

    async end() {
      await Promise.all([...all].map(({ sql }) => sql.end({ timeout: 5 })));
    },
  };
}
