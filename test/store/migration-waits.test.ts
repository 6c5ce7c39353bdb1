import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import postgres, { type Sql } from 'postgres';
import { migrateDatabase, readSchemaState, waitForMigration } from '../../src/store/migrate.ts';
import { waitUntil } from '../support/embedded-place.ts';
import { createOlderDatabase } from '../support/older-database.ts';

/*
 * A migration among others: those who read a table for long, those who come after it, and those who wait for its end. 0006
 * changes `deliveries`, 0007 then `gaps`.
 */

const OLDER = '0005_consumers';

let database: Awaited<ReturnType<typeof createOlderDatabase>>;
let reader: Sql;
let sql: Sql;
before(async () => {
  database = await createOlderDatabase(OLDER);
  reader = postgres(database.url, { max: 1, onnotice: () => {} });
  sql = postgres(database.url, { max: 3, onnotice: () => {} });
  // A backup, or a report, that has begun to read.
  await reader.unsafe('BEGIN; SELECT count(*) FROM gaps').simple();
});
after(async () => {
  await reader.end();
  await sql.end();
  await database.drop();
});

test('gives up in time when its tables are never free, says what to do, and has changed nothing', async () => {
  const before = await readSchemaState(sql);
  assert.equal(before.state, 'behind');
  await assert.rejects(
    migrateDatabase(database.url, () => {}, { lockMs: 50, pauseMs: 50, patienceMs: 300 }),
    {
      code: 'database_behind',
      message: /pg_stat_activity/,
    },
  );
  assert.deepEqual(await readSchemaState(sql), before);
});

test('steps back before a long reader so that others go on, and is done when that one ends', async () => {
  const said: string[] = [];
  let isDone = false;
  const migrating = migrateDatabase(database.url, (message) => said.push(message), {
    lockMs: 300,
    pauseMs: 200,
  }).finally(() => {
    isDone = true;
  });
  const waiting = waitForMigration(sql, (message) => said.push(message), { pollMs: 20 });

  // Of the table that it holds while it waits for the other.
  const slowestMs: number[] = [];
  for (let round = 0; round < 20; round++) {
    const startedMs = performance.now();
    await sql`UPDATE deliveries SET attempts = 0`;
    slowestMs.push(performance.now() - startedMs);
  }
  assert.ok(Math.max(...slowestMs) < 10_000, `an update waited ${Math.max(...slowestMs)} ms`);
  await waitUntil('both wait', () => said.length === 2);
  assert.equal(isDone, false);

  await reader.unsafe('COMMIT');
  await migrating;
  assert.deepEqual(await waiting, { state: 'current' });
  assert.deepEqual(said.map((message) => /steps back|another process migrates/.exec(message)?.[0]).sort(), [
    'another process migrates',
    'steps back',
  ]);
});

test('nobody who migrates: a schema that is behind is not waited for', async () => {
  const older = await createOlderDatabase(OLDER);
  const own = postgres(older.url, { max: 1, onnotice: () => {} });
  const said: string[] = [];
  const schema = await waitForMigration(own, (message) => said.push(message), { graceMs: 100, pollMs: 20 });
  assert.equal(schema.state, 'behind');
  assert.deepEqual(said, []);
  await own.end();
  await older.drop();
});
