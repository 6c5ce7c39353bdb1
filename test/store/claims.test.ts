import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, beforeEach, describe, test } from 'node:test';
import type { Sql } from 'postgres';
import { createId, type Id, uuidOf } from '../../src/core/ids.ts';
import { type AttemptRecord, recordAttempts } from '../../src/store/attempts.ts';
import { type ClaimedDelivery, claimDueDeliveries, releaseDeliveries } from '../../src/store/claims.ts';
import { type Database, openDatabase } from '../../src/store/database.ts';
import { type Lane, wakeAllLanes, wakeLanes } from '../../src/store/lanes.ts';
import { createTestDatabase } from '../support/database.ts';
import { addDue, addEndpoint } from '../support/deliveries.ts';

const LEASE_MS = 90_000;

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

async function claim({ limit = 64, owner = randomUUID() } = {}): Promise<ClaimedDelivery[]> {
  return (await claimDueDeliveries(sql, { owner, limit, leaseMs: LEASE_MS })).deliveries;
}

/** What the passing of 90 s does. */
async function endLease({ id }: { id: Id<'dlv'> }): Promise<void> {
  await sql`UPDATE deliveries SET next_attempt_at = now() - interval '1 second' WHERE id = ${uuidOf(id)}`;
}

async function rowOf({ id }: { id: Id<'dlv'> }): Promise<Record<string, unknown>> {
  const [row] = await sql`
    SELECT status, attempts, fence, lease_owner AS owner, last_status_code AS code, next_attempt_at <= now() AS "isDue",
           (SELECT count(*)::int FROM attempts WHERE delivery_id = deliveries.id) AS kept
    FROM deliveries WHERE id = ${uuidOf(id)}`;
  assert.ok(row);
  return row;
}

function recordOf(delivery: ClaimedDelivery, change: Partial<AttemptRecord> = {}): AttemptRecord {
  return {
    attemptId: createId('att'),
    deliveryId: delivery.id,
    endpointId: delivery.endpoint.id,
    health: 'well',
    owner: delivery.owner,
    fence: delivery.fence,
    startedAt: new Date(),
    durationMs: 12,
    statusCode: 204,
    errorCode: null,
    error: null,
    responseExcerpt: '',
    status: 'succeeded',
    delayMs: 0,
    ...change,
  };
}

/** Whether each was still its holder's. */
async function record(records: AttemptRecord[]): Promise<boolean[]> {
  return (await recordAttempts(sql, records)).map(({ isKept }) => isKept);
}

const idsOf = (deliveries: readonly { id: Id<'dlv'> }[]) => deliveries.map(({ id }) => id);

async function claimOne(): Promise<ClaimedDelivery> {
  const claimed = await claim();
  assert.equal(claimed.length, 1);
  const [delivery] = claimed;
  assert.ok(delivery);
  return delivery;
}

describe('a lease', () => {
  test('keeps a delivery from everyone else until it ends; then the fence has grown', async () => {
    await addDue(sql, await addEndpoint(sql), 1);
    const first = await claimOne();
    assert.deepEqual(await claim(), []);
    await endLease(first);
    const second = await claimOne();
    assert.equal(second.id, first.id);
    assert.equal(second.eventId, first.eventId);
    assert.equal(second.fence, first.fence + 1);
  });

  test('of a stale holder moves nothing, but the attempt it made is kept', async () => {
    await addDue(sql, await addEndpoint(sql), 1);
    const stale = await claimOne();
    await endLease(stale);
    const current = await claimOne();
    const before = await rowOf(current);

    assert.deepEqual(await record([recordOf(stale, { statusCode: 500, status: 'failed' })]), [false]);
    assert.deepEqual(await rowOf(current), { ...before, kept: 1 });
    assert.deepEqual(await record([recordOf(current)]), [true]);
    const row = await rowOf(current);
    assert.deepEqual([row.status, row.attempts, row.kept, row.owner], ['succeeded', 1, 2, null]);
  });

  test('that has ended, but that nobody took over, still lets its holder record', async () => {
    await addDue(sql, await addEndpoint(sql), 1);
    const late = await claimOne();
    await endLease(late);
    assert.deepEqual(await record([recordOf(late)]), [true]);
    assert.deepEqual(await claim(), []);
  });

  test('given back is due at once for another; given back by a stale holder it stays', async () => {
    await addDue(sql, await addEndpoint(sql), 2);
    const [kept, lost] = await claim();
    assert.ok(kept && lost);
    await endLease(lost);
    const taken = await claimOne();
    assert.equal(taken.id, lost.id);

    await releaseDeliveries(sql, [kept, lost]);
    assert.deepEqual(idsOf(await claim()), [kept.id]);
    const row = await rowOf(taken);
    assert.deepEqual([row.fence, row.isDue, row.attempts], [taken.fence, false, 0]);
  });
});

describe('a record', () => {
  test('repeated, alone or in one statement with others, counts once', async () => {
    await addDue(sql, await addEndpoint(sql), 2);
    const [one, other] = await claim();
    assert.ok(one && other);
    const retry = recordOf(one, { statusCode: 500, status: 'pending', delayMs: 5000 });
    assert.deepEqual(await record([retry, recordOf(other)]), [true, true]);
    await recordAttempts(sql, [retry]);
    await recordAttempts(sql, [retry, recordOf(other)]);
    const row = await rowOf(one);
    assert.deepEqual([row.status, row.attempts, row.kept, row.code], ['pending', 1, 1, 500]);
    assert.equal((await rowOf(other)).attempts, 1);
  });

  test('that comes again after the delivery was claimed anew does not end the new claim', async () => {
    await addDue(sql, await addEndpoint(sql), 1);
    const first = await claimOne();
    const retry = recordOf(first, { statusCode: 500, status: 'pending' });
    await recordAttempts(sql, [retry]);
    const second = await claimOne();
    assert.deepEqual(await record([retry]), [false]);
    assert.deepEqual(await record([recordOf(second)]), [true]);
    assert.equal((await rowOf(second)).attempts, 2);
  });
});

describe('a claim', () => {
  test('takes the oldest due first, and what is due later not at all', async () => {
    const endpoint = await addEndpoint(sql);
    const later = await addDue(sql, endpoint, 1, { dueInMs: 60_000 });
    const young = await addDue(sql, endpoint, 3, { dueInMs: -1000 });
    const old = await addDue(sql, endpoint, 3, { dueInMs: -60_000 });
    const taken = [await claim({ limit: 2 }), await claim({ limit: 2 }), await claim()].map((one) =>
      idsOf(one).sort(),
    );
    const inOrder = [...old, ...young];
    assert.deepEqual(
      taken,
      [inOrder.slice(0, 2), inOrder.slice(2, 4), inOrder.slice(4)].map((ids) => ids.sort()),
    );
    assert.equal((await rowOf({ id: later[0] ?? 'dlv_' })).fence, 0);
  });

  test('leaves no endpoint with more under way than its maxInFlight, over all holders', async () => {
    const endpoint = await addEndpoint(sql, { maxInFlight: 3 });
    await addDue(sql, endpoint, 10);
    const first = await claimDueDeliveries(sql, { owner: randomUUID(), limit: 2, leaseMs: LEASE_MS });
    assert.deepEqual([first.deliveries.length, first.isMoreDue, first.fullEndpoints.size], [2, true, 0]);
    const second = await claimDueDeliveries(sql, { owner: randomUUID(), limit: 64, leaseMs: LEASE_MS });
    assert.deepEqual([second.deliveries.length, second.isMoreDue], [1, false]);
    assert.deepEqual([...second.fullEndpoints], [endpoint]);
    assert.deepEqual(await claim(), []);

    await recordAttempts(
      sql,
      [...first.deliveries, ...second.deliveries].map((one) => recordOf(one)),
    );
    assert.equal((await claim()).length, 3);
  });

  test('has room for every endpoint, however long the queue of one is', async () => {
    const crowded = await addEndpoint(sql);
    const others = [await addEndpoint(sql), await addEndpoint(sql), await addEndpoint(sql)];
    await addDue(sql, crowded, 1000, { dueInMs: -60_000 });
    for (const endpoint of others) await addDue(sql, endpoint, 2);
    // Several, as endpoints are taken in random order.
    for (let round = 0; round < 8; round++) {
      const { deliveries, isMoreDue } = await claimDueDeliveries(sql, {
        owner: randomUUID(),
        limit: 16,
        leaseMs: LEASE_MS,
      });
      assert.equal(isMoreDue, true);
      for (const endpoint of others)
        assert.equal(deliveries.filter((one) => one.endpoint.id === endpoint).length, 2);
      await releaseDeliveries(sql, deliveries);
    }
  });

  test('over and over takes everything, however few get it and however many', async () => {
    const endpoints = await Promise.all(Array.from({ length: 20 }, () => addEndpoint(sql)));
    for (const [index, endpoint] of endpoints.entries()) await addDue(sql, endpoint, index === 0 ? 100 : 1);
    const taken = new Set<string>();
    for (let isMoreDue = true; isMoreDue; ) {
      const next = await claimDueDeliveries(sql, { owner: randomUUID(), limit: 16, leaseMs: LEASE_MS });
      for (const { id } of next.deliveries) taken.add(id);
      isMoreDue = next.isMoreDue;
    }
    assert.equal(taken.size, 119);
  });

  test('by four at once gives each delivery to one of them', async () => {
    await addDue(sql, await addEndpoint(sql), 200);
    const claims = await Promise.all(Array.from({ length: 4 }, () => claim({ limit: 50 })));
    const ids = claims.flatMap(idsOf);
    assert.equal(new Set(ids).size, ids.length);
  });

  test('takes nothing of a disabled endpoint; enabled again, it goes on with all of it', async () => {
    const endpoint = await addEndpoint(sql, { isEnabled: false });
    const ids = await addDue(sql, endpoint, 5);
    assert.deepEqual(await claim(), []);
    await sql`UPDATE endpoints SET is_enabled = true`;
    assert.deepEqual(idsOf(await claim()).sort(), ids.sort());
  });
});

describe('of an endpoint', () => {
  test('with lanes a claim takes the first of each, and what it parks takes no room of others', async () => {
    const endpoint = await addEndpoint(sql, { maxInFlight: 3 });
    const [one, other] = [createId('mbx'), createId('mbx')];
    await addDue(sql, endpoint, 10);
    await sql`UPDATE deliveries SET lane = ${uuidOf(one)}`;
    await addDue(sql, endpoint, 2, { dueInMs: 0 - 1 });
    await sql`UPDATE deliveries SET lane = ${uuidOf(other)}, next_attempt_at = now() - interval '1 millisecond'
      WHERE lane IS NULL`;
    const taken: ClaimedDelivery[] = [];
    const parked: Lane[] = [];
    for (let isMoreDue = true; isMoreDue; ) {
      const next = await claimDueDeliveries(sql, { owner: randomUUID(), limit: 64, leaseMs: LEASE_MS });
      taken.push(...next.deliveries);
      parked.push(...next.parkedIn);
      isMoreDue = next.isMoreDue;
    }
    assert.deepEqual(new Set(taken.map(({ lane }) => lane?.mailboxId.replaceAll('-', ''))).size, 2);
    assert.equal(taken.length, 2);
    assert.equal(parked.length, 10);

    assert.equal(await wakeLanes(sql, parked), false, 'the first is under way');
    await record(taken.map((delivery) => recordOf(delivery)));
    assert.equal(await wakeLanes(sql, parked), true);
    assert.equal((await claim()).length, 2);
    await sql`DELETE FROM deliveries WHERE lease_owner IS NOT NULL`;
    assert.equal(await wakeAllLanes(sql), true);
    assert.equal((await claim()).length, 1);
  });

  test('with a rate claims in all processes together take what it allows', async () => {
    const endpoint = await addEndpoint(sql);
    await sql`UPDATE endpoints SET rate_per_second = 50`;
    await addDue(sql, endpoint, 100);
    assert.equal((await claim()).length, 5, 'a tenth of a second');
    assert.equal((await claim()).length <= 5, true);
    const claimAfter = async (ms: number) => {
      await sql`UPDATE endpoints SET paced_until = now() + ${100 - ms}::int * interval '1 millisecond'`;
      return (await claim()).length;
    };
    const taken = [await claimAfter(0), await claimAfter(60), await claimAfter(10_000)];
    // A busy machine may take its time between the two statements.
    assert.ok((taken[0] ?? 9) <= 2 && (taken[1] ?? 0) >= 3 && taken[2] === 5, `${taken}`);
  });
});
