import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, beforeEach, describe, test } from 'node:test';
import type { Sql } from 'postgres';
import { createId, type Id, uuidOf } from '../../src/core/ids.ts';
import { type Claim, claimDueDeliveries } from '../../src/store/claims.ts';
import { type Database, openDatabase } from '../../src/store/database.ts';
import { wakeLanes } from '../../src/store/lanes.ts';
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

const claim = (): Promise<Claim> =>
  claimDueDeliveries(sql, { owner: randomUUID(), limit: 64, leaseMs: 90_000 });

async function count(table: 'deliveries' | 'attempts'): Promise<number> {
  const [row] = await sql<[{ count: number }]>`SELECT count(*)::int FROM ${sql(table)}`;
  return row.count;
}

describe('a delivery whose event is gone', () => {
  test('is ended by the claim that finds it, and takes no room of others', async () => {
    const endpoint = await addEndpoint(sql, { maxInFlight: 3 });
    await addDue(sql, endpoint, 5, { dueInMs: -60_000 });
    await sql`DELETE FROM events`;
    const ids = await addDue(sql, endpoint, 3);
    const taken: Id<'dlv'>[] = [];
    for (let isMoreDue = true; isMoreDue; ) {
      const next = await claim();
      taken.push(...next.deliveries.map(({ id }) => id));
      isMoreDue = next.isMoreDue;
    }
    assert.deepEqual(taken.sort(), ids.sort());
    assert.equal(await count('deliveries'), 3);
  });

  test('takes its attempts along, and is not in the way of its lane', async () => {
    const lane = createId('mbx');
    await addDue(sql, await addEndpoint(sql), 3);
    await sql`UPDATE deliveries SET lane = ${uuidOf(lane)}`;
    const [first] = (await claim()).deliveries;
    assert.ok(first, 'the others are parked');
    await sql`UPDATE deliveries SET next_attempt_at = now() WHERE id = ${uuidOf(first.id)}`;
    await sql`INSERT INTO attempts (id, delivery_id, started_at, duration_ms)
      VALUES (mailgress_uuidv7(), ${uuidOf(first.id)}, now(), 1)`;
    await sql`DELETE FROM events WHERE id = ${uuidOf(first.eventId)}`;
    const next = await claim();
    assert.deepEqual([next.deliveries.length, await count('attempts')], [0, 0]);
    assert.equal(await wakeLanes(sql, next.parkedIn), true);
    assert.equal((await claim()).deliveries.length, 1);
  });
});
