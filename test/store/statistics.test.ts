import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { uuidOf } from '../../src/core/ids.ts';
import { type Database, openDatabase } from '../../src/store/database.ts';
import { readStatistics } from '../../src/store/statistics.ts';
import { createTestDatabase } from '../support/database.ts';
import { addDue, addEndpoint } from '../support/deliveries.ts';

const HOUR_MS = 3_600_000;

let database: Database;
let drop: () => Promise<void>;
before(async () => {
  const created = await createTestDatabase();
  drop = created.drop;
  database = openDatabase(created.url);
});
after(async () => {
  await database.close();
  await drop();
});
beforeEach(() => database.sql`DELETE FROM deliveries`);

/** A delivery that was queued two hours ago, and has been due for one. */
async function addOld({ isEnabled = true } = {}): Promise<string> {
  const { sql } = database;
  const [id] = await addDue(sql, await addEndpoint(sql, { isEnabled }), 1, { dueInMs: -HOUR_MS });
  assert.ok(id);
  await sql`UPDATE deliveries SET created_at = now() - interval '2 hours' WHERE id = ${uuidOf(id)}`;
  return uuidOf(id);
}

/** Hours, to the tenth: how old the oldest is, and how long one has been due; and how many wait. */
async function read(): Promise<[number, number, number]> {
  const { oldestPendingSeconds, overdueSeconds, pendingDeliveries } = await readStatistics(database.sql);
  const hours = (seconds: number) => Math.round((seconds / 3600) * 10) / 10;
  return [hours(oldestPendingSeconds), hours(overdueSeconds), pendingDeliveries];
}

describe('a delivery', () => {
  test('that nobody makes is old and overdue', async () => {
    await addOld();
    assert.deepEqual(await read(), [2, 1, 1]);
  });

  test('of a disabled endpoint is neither', async () => {
    await addOld({ isEnabled: false });
    assert.deepEqual(await read(), [0, 0, 1]);
  });

  test('that a rule holds is neither, until the hold is over', async () => {
    const id = await addOld();
    const { sql } = database;
    await sql`UPDATE deliveries SET rule = 'vacation', next_attempt_at = now() + interval '1 hour' WHERE id = ${id}`;
    assert.deepEqual(await read(), [0, 0, 1]);
    await sql`UPDATE deliveries SET next_attempt_at = now() - interval '1 hour' WHERE id = ${id}`;
    assert.deepEqual(await read(), [2, 1, 1]);
  });

  test('that is parked behind another is neither', async () => {
    const id = await addOld();
    await database.sql`UPDATE deliveries SET next_attempt_at = 'infinity' WHERE id = ${id}`;
    assert.deepEqual(await read(), [0, 0, 1]);
  });

  test('that waits for its next try is old and not overdue', async () => {
    const id = await addOld();
    await database.sql`UPDATE deliveries SET next_attempt_at = now() + interval '1 hour' WHERE id = ${id}`;
    assert.deepEqual(await read(), [2, 0, 1]);
  });

  test('is overdue once the lease of one that died is over', async () => {
    const id = await addOld();
    await database.sql`UPDATE deliveries SET lease_owner = gen_random_uuid() WHERE id = ${id}`;
    assert.deepEqual(await read(), [2, 1, 1]);
  });
});
