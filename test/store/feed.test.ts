import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import postgres from 'postgres';
import { createId, uuidOf } from '../../src/core/ids.ts';
import { type Database, openDatabase } from '../../src/store/database.ts';
import { FEED_START, type FeedPosition, findFeedEnd, readFeed } from '../../src/store/feed.ts';
import { ALL_TENANTS } from '../../src/store/scope.ts';
import { createTestDatabase } from '../support/database.ts';

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

function insert(sql: postgres.Sql | postgres.TransactionSql, n: number, type = 'source.silent') {
  return sql`
    INSERT INTO events (id, type, tenant, data)
    VALUES (${uuidOf(createId('evt'))}, ${type}, 'default', ${JSON.stringify({ n })}::text::json)`;
}

async function readAll(
  from: FeedPosition,
  types: string[] = [],
): Promise<{ ns: number[]; next: FeedPosition }> {
  const ns: number[] = [];
  for (let position = from; ; ) {
    const page = await readFeed(database.hot, { scope: ALL_TENANTS, after: position, types, limit: 3 });
    ns.push(...page.events.map(({ data }) => JSON.parse(data).n));
    position = page.next;
    if (page.events.length === 0) return { ns, next: position };
  }
}

test('an event that commits late is not skipped, and those behind it wait for it', async () => {
  const start = await findFeedEnd(database.hot);
  const sql = postgres(url, { max: 2 });
  const late = Promise.withResolvers<void>();
  const inserted = Promise.withResolvers<void>();
  const transaction = sql.begin(async (tx) => {
    await insert(tx, 1);
    inserted.resolve();
    await late.promise;
  });
  await inserted.promise;
  await insert(database.hot, 2);
  const early = await readAll(start);
  assert.deepEqual(early.ns, []);
  late.resolve();
  await transaction;
  assert.deepEqual((await readAll(early.next)).ns, [1, 2]);
  await sql.end();
});

test('pages through without skip or repeat, and by type', async () => {
  const start = await findFeedEnd(database.hot);
  for (let n = 0; n < 10; n++) await insert(database.hot, n, n % 2 === 0 ? 'gap.opened' : 'gap.recovered');
  assert.deepEqual((await readAll(start)).ns, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  const even = await readAll(start, ['gap.opened']);
  assert.deepEqual(even.ns, [0, 2, 4, 6, 8]);
  await insert(database.hot, 10, 'gap.opened');
  assert.deepEqual((await readAll(even.next, ['gap.opened'])).ns, [10]);
});

test('a reader beside eight writers sees each event once', async () => {
  const start = await findFeedEnd(database.hot);
  const sql = postgres(url, { max: 8 });
  let written = 0;
  const writers = Array.from({ length: 8 }, async () => {
    for (let round = 0; round < 40; round++) {
      await sql.begin(async (tx) => {
        await insert(tx, ++written);
        if (round % 3 === 0) await insert(tx, ++written);
      });
    }
  });
  let isWriting = true;
  const done = Promise.all(writers).finally(() => {
    isWriting = false;
  });
  const seen: number[] = [];
  let position = start;
  while (isWriting) {
    const page = await readAll(position);
    seen.push(...page.ns);
    position = page.next;
  }
  await done;
  seen.push(...(await readAll(position)).ns);
  assert.equal(new Set(seen).size, seen.length);
  assert.equal(seen.length, written);
  await sql.end();
});

test('begins at the beginning', async () => {
  assert.ok((await readAll(FEED_START)).ns.length > 300);
});
