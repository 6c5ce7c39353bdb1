import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, beforeEach, test } from 'node:test';
import type { Sql } from 'postgres';
import { createId, type Id, uuidOf } from '../../src/core/ids.ts';
import { claimDueDeliveries } from '../../src/store/claims.ts';
import { type Database, openDatabase } from '../../src/store/database.ts';
import { enableEndpoint } from '../../src/store/endpoints.ts';
import { createTestDatabase } from '../support/database.ts';
import { addDue, addEndpoint } from '../support/deliveries.ts';

let testDatabase: Awaited<ReturnType<typeof createTestDatabase>>;
let database: Database;
let sql: Sql;
before(async () => {
  testDatabase = await createTestDatabase();
  database = openDatabase(testDatabase.url);
  sql = database.hot;
});
beforeEach(() => sql`TRUNCATE deliveries, attempts, events, endpoints CASCADE`);
after(async () => {
  await database.close();
  await testDatabase.drop();
});

const HOUR_MS = 3_600_000;

async function claim(limit = 64): Promise<Id<'dlv'>[]> {
  const { deliveries } = await claimDueDeliveries(sql, { owner: randomUUID(), limit, leaseMs: 90_000 });
  return deliveries.map(({ id }) => id);
}

test('what waits for its next try is due when its endpoint is enabled, the oldest first, before what is new', async () => {
  const [endpoint, other] = [
    await addEndpoint(sql, { isEnabled: false }),
    await addEndpoint(sql, { isEnabled: false }),
  ];
  const [first] = await addDue(sql, endpoint, 1, { dueInMs: 5 * HOUR_MS });
  const [second] = await addDue(sql, endpoint, 1, { dueInMs: HOUR_MS });
  await addDue(sql, other, 1, { dueInMs: HOUR_MS });
  await sql`UPDATE deliveries SET attempts = 3`;
  assert.equal((await enableEndpoint(sql, endpoint))?.enabled, true);
  const [third] = await addDue(sql, endpoint, 1, { dueInMs: -1 });
  assert.deepEqual(
    [await claim(1), await claim(1), await claim(1), await claim()],
    [[first], [second], [third], []],
  );
});

test('what rules hold, what is parked and what is under way stay as they are; of a lane the first goes', async () => {
  const endpoint = await addEndpoint(sql, { isEnabled: false });
  const [lane] = [uuidOf(createId('mbx'))];
  const [first] = await addDue(sql, endpoint, 1, { dueInMs: HOUR_MS });
  const [parked] = await addDue(sql, endpoint, 1);
  await sql`UPDATE deliveries SET lane = ${lane}`;
  const [held, leased, unheld] = [
    await addDue(sql, endpoint, 1, { dueInMs: HOUR_MS }),
    await addDue(sql, endpoint, 1, { dueInMs: HOUR_MS }),
    await addDue(sql, endpoint, 1, { dueInMs: HOUR_MS }),
  ].map(([id]) => id);
  assert.ok(first && parked && held && leased && unheld);
  await sql`UPDATE deliveries SET attempts = 1`;
  await sql`UPDATE deliveries SET next_attempt_at = 'infinity' WHERE id = ${uuidOf(parked)}`;
  await sql`UPDATE deliveries SET rule = 'vacation' WHERE id = ${uuidOf(held)}`;
  await sql`UPDATE deliveries SET lease_owner = ${randomUUID()} WHERE id = ${uuidOf(leased)}`;
  await enableEndpoint(sql, endpoint);
  assert.deepEqual((await claim()).sort(), [first, unheld].sort());
});

test('an endpoint that is enabled already keeps the times of its tries', async () => {
  const endpoint = await addEndpoint(sql);
  await addDue(sql, endpoint, 1, { dueInMs: HOUR_MS });
  await sql`UPDATE deliveries SET attempts = 1`;
  await enableEndpoint(sql, endpoint);
  assert.deepEqual(await claim(), []);
});

test('of an endpoint with more than one statement takes, all are due', async (t) => {
  const endpoint = await addEndpoint(sql, { isEnabled: false });
  await addDue(sql, endpoint, 12_000, { dueInMs: HOUR_MS });
  await sql`UPDATE deliveries SET attempts = 1`;
  const startedAtMs = performance.now();
  await enableEndpoint(sql, endpoint);
  t.diagnostic(`${Math.round(performance.now() - startedAtMs)} ms`);
  const [row] = await sql`SELECT count(*)::int FROM deliveries WHERE next_attempt_at <= now()`;
  assert.equal(row?.count, 12_000);
});
