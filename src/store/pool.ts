import type { Sql } from 'postgres';

type Client = { sql: Sql; execute: (statement: Statement) => void; underWay: Set<Statement> };

/** How much of a pool is in use. */
export type PoolUse = { use(): { connections: number; statements: number } };

/** Of the driver's statements, what decides where they run: it calls `handler` with them when they are awaited, then one of these. */
type Statement = Promise<unknown> & {
  handler: (statement: Statement) => void;
  resolve(result: unknown): void;
  reject(error: unknown): void;
};

/**
 * Up to `max` connections, each a client of the driver's own, for single statements: it has no `begin`, `reserve`,
 * `listen` or cursors. A statement goes to the connection with the fewest under way. One that ended is thrown away
 * with its client, and what was under way on it fails.
 *
 * For postgres 3.4.9 does not recover a connection. It keeps statements that it was given while the old one was ending,
 * and answers them with the rows of others on the new one; rows received before the end shift those of the next answer;
 * or it never writes again (LanternOps/breeze #3225). Rows received before a statement failed shift those of the next answer,
 * too: that is put right here.
 *
 * @param connect makes a client of one connection, which it opens when it is first used, and that calls `onOver` when it
 * ends.
 */
export function createPool(max: number, connect: (onOver: () => void) => Sql): Sql & PoolUse {
  const clients = new Set<Client>();
  // Writes the statements, and never connects.
  const author = connect(() => {});
  let isEnded = false;

  function createClient(): Client {
    const sql = connect(() => {
      clients.delete(client);
      // Those that were still to be written the driver forgets.
      for (const statement of client.underWay) statement.reject(connectionError('the connection ended'));
      void sql.end({ timeout: 0 });
    });
    const client: Client = { sql, execute: statementOf(sql``).handler, underWay: new Set() };
    clients.add(client);
    return client;
  }

  function findClient(): Client {
    const [least] = [...clients].sort((a, b) => a.underWay.size - b.underWay.size);
    if (least !== undefined && (least.underWay.size === 0 || clients.size >= max)) return least;
    return createClient();
  }

  function execute(statement: Statement): void {
    if (isEnded) {
      statement.reject(connectionError('the pool is closed'));
      return;
    }
    const client = findClient();
    const onSettled = () => void client.underWay.delete(statement);
    client.underWay.add(statement);
    const { resolve } = statement;
    statement.resolve = (result) => resolve(withoutShift(result));
    statement.then(onSettled, onSettled);
    client.execute(statement);
  }

  function route<T>(written: T): T {
    // Names and values in a statement are none.
    if (written instanceof Promise) statementOf(written).handler = execute;
    return written;
  }

  const write = (...args: Parameters<typeof author>) => route(author(...args));
  const also = {
    typed: author.typed,
    types: author.types,
    array: author.array,
    json: author.json,
    unsafe: (...args: Parameters<Sql['unsafe']>) => route(author.unsafe(...args)),
    notify: async (channel: string, payload: string) =>
      void (await write`SELECT pg_notify(${channel}, ${payload})`),
    use: () => ({
      connections: clients.size,
      statements: [...clients].reduce((sum, { underWay }) => sum + underWay.size, 0),
    }),
    end: async (options?: { timeout?: number }) => {
      isEnded = true;
      await Promise.all([...clients].map(({ sql }) => sql.end(options)));
    },
  };
  // All of it that one statement can need.
  return Object.assign(write, also) as unknown as Sql & PoolUse;
}

/**
 * What the driver answers with rows of its own behind as many holes as the statement before had rows when it failed: it
 * forgets to count from 0 again (postgres 3.4.9, `ErrorResponse`).
 */
function withoutShift(result: unknown): unknown {
  if (!Array.isArray(result) || result.length === 0 || 0 in result) return result;
  const shift = result.findIndex((_, index) => index in result);
  result.splice(0, shift);
  return result;
}

/** The driver's types do not show it. */
function statementOf(query: Promise<unknown>): Statement {
  return query as Statement;
}

function connectionError(message: string): Error {
  return Object.assign(new Error(message), { code: 'CONNECTION_ENDED' });
}
