import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openDatabase } from '../../src/store/database.ts';
import { isUnavailable } from '../../src/store/unavailable.ts';
import { createTestDatabase } from '../support/database.ts';
import { query } from '../support/embedded-place.ts';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts';

/* A database that goes away under a statement, and comes back. */

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
  test(`a statement whose connection is ${name} fails, and the next one succeeds`, async () => {
    const database = openDatabase(proxy.url);
    try {
      // More often than the pool has connections: none may be lost for good.
      for (let round = 0; round < 8; round++) {
        const failed = database.hot`SELECT pg_sleep(30)`;
        setTimeout(() => void cut(), 20);
        await assert.rejects(failed, (error) => isUnavailable(error));
        // One that was given a connection which is just going is told so, too.
        const answer = await database.hot`SELECT 42 AS answer`.catch(() => database.hot`SELECT 42 AS answer`);
        assert.equal(answer[0]?.answer, 42);
      }
    } finally {
      await database.close();
    }
  });
