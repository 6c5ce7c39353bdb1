import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, beforeEach, test } from 'node:test';
import type { Sql } from 'postgres';
import { createId, type Id, uuidOf } from '../../src/core/ids.ts';
import { createKeyring } from '../../src/core/sealed.ts';
import { type AttemptRecord, recordAttempts } from '../../src/store/attempts.ts';
import { claimDueDeliveries } from '../../src/store/claims.ts';
import { type Database, openDatabase } from '../../src/store/database.ts';
import { enableEndpoint, updateEndpoint } from '../../src/store/endpoints.ts';
import { createTestDatabase } from '../support/database.ts';
import { addDue, addEndpoint } from '../support/deliveries.ts';

/*
 * An endpoint is lost after five days of nothing but failure. They begin with the first of at least three failures within
 * 24 hours of which the last comes 12 hours after the first or later. Times here pass by moving what is kept back.
 */

let testDatabase: Awaited<ReturnType<typeof createTestDatabase>>;
let database: Database;
let sql: Sql;
let endpoint: Id<'ep'>;
before(async () => {
  testDatabase = await createTestDatabase();
  database = openDatabase(testDatabase.url);
  sql = database.hot;
});
beforeEach(async () => {
  await sql`TRUNCATE deliveries, attempts, events, endpoints CASCADE`;
  endpoint = await addEndpoint(sql);
});
after(async () => {
  await database.close();
  await testDatabase.drop();
});

/** @returns whether the endpoint counts as lost. */
async function record(...healths: AttemptRecord['health'][]): Promise<boolean> {
  await addDue(sql, endpoint, healths.length);
  const { deliveries } = await claimDueDeliveries(sql, {
    owner: randomUUID(),
    limit: healths.length,
    leaseMs: 90_000,
  });
  const records = deliveries.map(
    (delivery, index): AttemptRecord => ({
      attemptId: createId('att'),
      deliveryId: delivery.id,
      endpointId: endpoint,
      owner: delivery.owner,
      fence: delivery.fence,
      startedAt: new Date(),
      durationMs: 1,
      statusCode: null,
      errorCode: null,
      error: null,
      responseExcerpt: null,
      health: healths[index] ?? null,
      status: 'failed',
      delayMs: 0,
    }),
  );
  const recorded = await recordAttempts(sql, records);
  assert.ok(recorded.length === healths.length && recorded.every(({ isKept }) => isKept));
  return recorded.some(({ isEndpointLost }) => isEndpointLost);
}

async function pass(hours: number): Promise<void> {
  await sql`UPDATE endpoints SET
    failing_since = failing_since - ${hours}::int * interval '1 hour',
    recent_failures_since = recent_failures_since - ${hours}::int * interval '1 hour'`;
}

async function hoursOfFailing(): Promise<number | null> {
  const [row] = await sql`
    SELECT round(extract(epoch FROM now() - failing_since) / 3600)::int AS hours FROM endpoints`;
  return row?.hours;
}

test('the days begin with the first of several failures that span half a day', async () => {
  await record('failing');
  await pass(6);
  await record('failing');
  await pass(5);
  await record('failing');
  assert.equal(await hoursOfFailing(), null, 'eleven hours');
  await pass(2);
  await record('failing');
  assert.equal(await hoursOfFailing(), 13);
});

test('many failures in one bad night begin nothing', async () => {
  await record(...Array<'failing'>(50).fill('failing'));
  await pass(11);
  await record('failing');
  assert.equal(await hoursOfFailing(), null);
});

test('two failures half a day apart are not several', async () => {
  await record('failing');
  await pass(13);
  await record('failing');
  assert.equal(await hoursOfFailing(), null);
});

test('failures a day apart from each other begin nothing', async () => {
  for (let day = 0; day < 10; day++) {
    await record('failing', 'failing');
    await pass(25);
  }
  assert.equal(await hoursOfFailing(), null);
});

test('it is lost at the first failure after five days, and not before', async () => {
  await record('failing', 'failing');
  await pass(12);
  assert.equal(await record('failing'), false);
  await pass(5 * 24 - 13);
  assert.equal(await record('failing'), false);
  await pass(1);
  assert.equal(await record('failing'), true);
});

test('one success ends it, also among failures of the same moment', async () => {
  for (const healths of [['well'], ['failing', 'well', 'failing']] as const) {
    await record('failing', 'failing');
    await pass(12);
    await record('failing');
    await pass(200);
    assert.equal(await record(...healths), false);
    assert.equal(await hoursOfFailing(), null);
    await pass(12);
    await record('failing');
    assert.equal(await hoursOfFailing(), null);
    await record('well');
  }
});

test('what fails on our side says nothing', async () => {
  await record('failing', 'failing');
  await pass(13);
  await record(null, null);
  assert.equal(await hoursOfFailing(), null);
});

test('an endpoint that is well is not written', async () => {
  const version = async () => (await sql`SELECT xmin::text AS version FROM endpoints`)[0]?.version;
  const before = await version();
  await record('well', 'well');
  assert.equal(await version(), before);
});

test('enabled again it begins anew', async () => {
  await record('failing', 'failing');
  await pass(12);
  await record('failing');
  await pass(200);
  assert.equal(await record('failing'), true);
  await sql`UPDATE endpoints SET is_enabled = false WHERE id = ${uuidOf(endpoint)}`;
  await enableEndpoint(sql, endpoint);
  assert.equal(await record('failing'), false);
  assert.equal(await hoursOfFailing(), null);
});

test('at another URL it begins anew; the same one, set again, changes nothing', async () => {
  const setUrl = (url: string) => updateEndpoint(sql, createKeyring(['k'.repeat(32)]), endpoint, { url });
  await record('failing', 'failing');
  await pass(12);
  await record('failing');
  await pass(12);
  await setUrl('https://consumer.example');
  assert.equal(await hoursOfFailing(), 24);
  await setUrl('https://other.example');
  assert.equal(await hoursOfFailing(), null);
  await record('failing');
  await pass(12);
  await record('failing');
  assert.equal(await hoursOfFailing(), null);
});
