import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import postgres, { type PendingQuery, type Row, type Sql } from 'postgres';
import { type Database, openDatabase } from '../../src/store/database.ts';
import { searchMessages } from '../../src/store/search.ts';
import { createSearchTurns } from '../../src/store/search-turns.ts';
import { createTestDatabase } from '../support/database.ts';
import { waitUntil } from '../support/embedded-place.ts';

let database: Database;
let url: string;
let drop: () => Promise<void>;
before(async () => {
  ({ url, drop } = await createTestDatabase());
  database = openDatabase(url);
});
after(async () => {
  await database.close();
  await drop();
});

const search = (patienceMs?: number, tenant: string | null = null) =>
  searchMessages(database, { q: 'word', limit: 1, after: undefined, scope: { tenant } }, patienceMs);

/** Nothing of the table can be read until it is let go of. */
async function hold(): Promise<{ letGo(): Promise<void> }> {
  const sql = postgres(url, { max: 1 });
  const held = Promise.withResolvers<void>();
  const end = Promise.withResolvers<void>();
  const holding = sql.begin(async (tx) => {
    await tx`LOCK TABLE message_search IN ACCESS EXCLUSIVE MODE`;
    held.resolve();
    await end.promise;
  });
  await held.promise;
  return {
    async letGo() {
      end.resolve();
      await holding;
      await sql.end();
    },
  };
}

const countSearches = async () => {
  const [row] = await database.sql<[{ count: number }]>`
    SELECT count(*)::int AS count FROM pg_stat_activity
    WHERE state = 'active' AND datname = current_database() AND query LIKE '%message_search%'
      AND query NOT LIKE '%pg_stat_activity%'`;
  return row.count;
};

test('one that takes too long is told so, and ended at the server', async () => {
  const { letGo } = await hold();
  for (const turn of [1, 2, 3]) {
    await assert.rejects(search(200), { code: 'search_too_wide', retryable: false }, `${turn}`);
  }
  await waitUntil('none runs any more', async () => (await countSearches()) === 0);
  await letGo();
  assert.deepEqual((await search()).data, []);
});

test('of many at once two run, the others take their turn, and what is ended is no other one', async () => {
  const { letGo } = await hold();
  const slow = Array.from({ length: 6 }, () => search(400).catch(({ code }) => code));
  await waitUntil('two run', async () => (await countSearches()) === 2);
  const others = Array.from({ length: 20 }, () => search());
  assert.deepEqual(await Promise.all(slow), Array(6).fill('search_too_wide'));
  await letGo();
  for (const page of await Promise.all(others)) assert.deepEqual(page.data, []);
});

test('of one tenant one runs at a time, so that another has its turn', async () => {
  const { letGo } = await hold();
  const noisy = Array.from({ length: 4 }, () => search(undefined, 'noisy'));
  await waitUntil('one runs', async () => (await countSearches()) === 1);
  const other = search(undefined, 'other');
  await waitUntil('two run', async () => (await countSearches()) === 2);
  const third = search(undefined, 'third');
  await letGo();
  for (const page of await Promise.all([...noisy, other, third])) assert.deepEqual(page.data, []);
});

test('all statements of one together have one patience', async () => {
  const { search: pool, sql, inTime } = database;
  const inSearch = createSearchTurns({ search: pool, api: sql, inTime, totalMs: 1000 });
  const sleep = (seconds: number) => (to: Sql, mark: PendingQuery<Row[]>) =>
    to`${mark} SELECT pg_sleep(${seconds})`;
  await inSearch(null, async (turn) => {
    await turn.read(60_000, sleep(0.1));
    await assert.rejects(turn.read(60_000, sleep(60)), { code: 'search_too_wide' });
  });
});

test('what begins when its time is nearly over is ended as well', async () => {
  // Its connection is still to be made then.
  const other = openDatabase(url);
  await other.sql`SELECT 1`;
  const sleep = (to: Sql, mark: PendingQuery<Row[]>) => to`${mark} SELECT pg_sleep(60)`;
  await assert.rejects(
    other.inSearch(null, (turn) => turn.read(0, sleep)),
    { code: 'search_too_wide' },
  );
  await other.close();
});
