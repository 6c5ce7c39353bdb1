import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { sql } from 'drizzle-orm';
import { openDatabase } from '../../src/store/database.ts';
import { isUnavailable } from '../../src/store/unavailable.ts';
import { createTestDatabase } from '../support/database.ts';
import { query } from '../support/embedded-place.ts';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts';

/*
 * A database that goes away under a transaction. postgres 3.4.9 then writes to a socket that it has forgotten, in a
 * timer of its own, which ends the process (porsager/postgres #1154, #1208); or it forgets to write ever again.
 */

let testDatabase: Awaited<ReturnType<typeof createTestDatabase>>;
let proxy: TcpProxy;
before(async () => {
  testDatabase = await createTestDatabase();
  proxy = await startTcpProxy(testDatabase.url);
});
after(async () => {
  await proxy[Symbol.asyncDispose]();
  await testDatabase.drop();
});

/** Ends every backend of the database, as a server that stops does: the connection is closed in order. */
const terminate = () =>
  query(
    testDatabase.url,
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE datname = current_database() AND application_name = 'mailgress'`,
  );

for (const [name, cut] of [
  ['closed by the server', terminate],
  ['reset', async () => proxy.cut()],
] as const)
  for (const moment of ['between two statements', 'during a statement'])
    test(`a transaction whose connection is ${name} ${moment} fails, and the next one succeeds`, async () => {
      const database = openDatabase(proxy.url);
      try {
        // More often than the pool has connections: none may be lost for good.
        for (let round = 0; round < 8; round++) {
          const failed = database.transaction(async (tx) => {
            await tx.execute(sql`SELECT 1`);
            if (moment === 'between two statements') await cut();
            else setImmediate(() => void cut());
            await tx.execute(sql`SELECT pg_sleep(${moment === 'during a statement' ? 30 : 0})`);
          });
          await assert.rejects(failed, (error) => isUnavailable(error));
          const answer = await database.transaction((tx) => tx.execute(sql`SELECT 42 AS answer`));
          assert.equal(answer[0]?.answer, 42);
        }
      } finally {
        await database.close();
      }
    });
