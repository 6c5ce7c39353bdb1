import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openDatabase } from '../../src/store/database.ts';
import { isUnavailable } from '../../src/store/unavailable.ts';
import { createTestDatabase } from '../support/database.ts';
import { query, waitUntil } from '../support/embedded-place.ts';
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

const cuts = [
  ['closed by the server', terminate],
  ['reset', async () => proxy.cut()],
] as const;

for (const [name, cut] of cuts)
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

for (const [name, cut] of cuts)
  test(`of many statements under way when connections are ${name}, each has its own answer or fails`, async () => {
    const database = openDatabase(proxy.url);
    let asked = 0;
    let failed = 0;
    let isOver = false;
    /** One after the other, as a caller under load does, through the end of its connection and beyond. */
    const ask = async () => {
      while (!isOver) {
        const question = ++asked;
        try {
          // Of several rows and packets, so that some are cut in the middle.
          const rows = await database.hot`
            SELECT ${question}::int AS question, repeat('x', 3000) AS padding FROM generate_series(1, 5)`;
          assert.deepEqual(
            rows.map((row) => row.question),
            Array(5).fill(question),
          );
        } catch (error) {
          if (!isUnavailable(error)) throw error;
          failed++;
        }
      }
    };
    try {
      const callers = Promise.all(Array.from({ length: 30 }, ask));
      const rounds = async () => {
        for (let round = 0; round < 20; round++) {
          const goal = asked + 100;
          await waitUntil('more was asked', () => asked > goal);
          await cut();
        }
        isOver = true;
      };
      await Promise.all([callers, rounds()]);
      assert.ok(failed > 0 && failed < asked / 2, `${failed} of ${asked} failed`);
    } finally {
      isOver = true;
      await database.close();
    }
  });

test('rows of a statement that fails in the middle are not those of the next one', async () => {
  const database = openDatabase(testDatabase.url);
  try {
    // On every connection of the pool, and behind one another on each.
    const all = Array.from({ length: 60 }, async (_, n) => {
      const failing = database.sql`SELECT 1 / (3 - i) FROM generate_series(1, ${5 + n}::int) i`;
      await assert.rejects(failing, { code: '22012' });
      assert.deepEqual([...(await database.sql`SELECT ${n}::int AS n`)], [{ n }]);
      assert.deepEqual([...(await database.sql`SELECT WHERE false`)], []);
    });
    await Promise.all(all);
  } finally {
    await database.close();
  }
});
