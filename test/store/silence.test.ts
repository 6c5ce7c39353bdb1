import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import postgres from 'postgres';
import { noteSilence } from '../../src/store/silence.ts';
import { type Consumer, startConsumer } from '../support/consumer.ts';
import { waitUntil } from '../support/embedded-place.ts';
import { addSource, batch, type PushSource, startTestService, type TestService } from '../support/service.ts';

/** Longer than the second that signs of life may wait to be written. */
const SILENT_AFTER_MS = 4000;

let service: TestService;
let consumer: Consumer;
before(async () => {
  service = await startTestService({ silentAfterMs: SILENT_AFTER_MS, silenceLookMs: 50 });
  consumer = await startConsumer();
  const types = ['source.silent', 'source.recovered'];
  await service.api('POST', '/v1/endpoints', { url: consumer.url, types });
});
after(async () => {
  await service.dispose();
  await consumer.close();
});

const script = { version: '1.0.0', account: 'a@example.com' };
const ping = (source: PushSource, extra = {}) =>
  service.push(source, JSON.stringify({ kind: 'ping', script, ...extra }));
const typesOf = (source: PushSource) =>
  consumer.received
    .map(({ body }) => JSON.parse(body))
    .filter(({ data }) => data.source.id === source.id)
    .map(({ type }) => type);
const stateOf = async (source: PushSource) => (await service.api('GET', `/v1/sources/${source.id}`)).body;

test('a script that misses its heartbeats is told of once, and again when it is back', async () => {
  const source = await addSource(service, 'apps-script', 'silent@example.com');
  await ping(source);
  await waitUntil('it is silent', async () => (await stateOf(source)).state === 'error');
  assert.match((await stateOf(source)).reason, /^silent: its script was last heard of at 20/);
  await waitUntil('that is told', () => typesOf(source).length >= 1);
  const told = JSON.parse(consumer.received[0]?.body ?? '');
  assert.equal(told.type, 'source.silent');
  assert.equal(told.data.source.state, 'error');
  assert.equal(told.data.previous, 'idle');

  await ping(source);
  await waitUntil('it is back', async () => (await stateOf(source)).state === 'idle');
  await waitUntil('that is told', () => typesOf(source).length >= 2);
  assert.deepEqual(typesOf(source).slice(0, 2), ['source.silent', 'source.recovered']);
});

test('whoever pauses, is stopped, never reported or is just started is not silent', async () => {
  const [pausing, stopped, plain, fresh] = await Promise.all(
    ['pausing', 'stopped', 'plain', 'fresh'].map((name) =>
      addSource(service, 'apps-script', `${name}@example.com`),
    ),
  );
  assert.ok(pausing && stopped && plain && fresh);
  await service.push(pausing, batch([], { script, paused: true }));
  // As its self-test does: that does not say that it goes on.
  await ping(pausing);
  await ping(stopped);
  await service.api('POST', `/v1/sources/${stopped.id}/stop`);
  await service.push(plain, JSON.stringify({ subject: 'Hi', sender: 'a@example.com', body: 'Hello' }));

  // One that is silent by now shows that the others have been looked at.
  const silent = await addSource(service, 'apps-script', 'witness@example.com');
  await ping(silent);
  await waitUntil('the witness is silent', async () => (await stateOf(silent)).state === 'error');
  for (const source of [pausing, stopped, plain, fresh]) {
    assert.deepEqual(typesOf(source), []);
    assert.equal((await stateOf(source)).reason, null);
  }
  const { body: started } = await service.api('POST', `/v1/sources/${stopped.id}/start`);
  assert.equal(started.state, 'idle');
});

test('who was away itself does not tell on others', async () => {
  const calm = await startTestService({ silenceLookMs: 3_600_000 });
  const source = await addSource(calm, 'apps-script', 'outage@example.com');
  const stateNow = async () => (await calm.api('GET', `/v1/sources/${source.id}`)).body;
  await ping(source);
  const sql = postgres(calm.databaseUrl, { max: 1 });
  await waitUntil('the ping is written', async () => (await stateNow()).lastProvenAliveAt !== null);
  await sql`UPDATE sources SET last_proven_alive_at = now() - interval '1 hour', wanted_at = now() - interval '1 day'
            WHERE id = ${source.id.slice('src_'.length)}`;
  assert.equal(await noteSilence(sql, { silentAfterMs: 60_000, reachableMs: 59_000 }), false);
  assert.equal((await stateNow()).state, 'idle');
  assert.equal(await noteSilence(sql, { silentAfterMs: 60_000, reachableMs: 61_000 }), true);
  assert.equal((await stateNow()).state, 'error');
  // Restarted, it does not take silence for a return either.
  assert.equal(await noteSilence(sql, { silentAfterMs: 60_000, reachableMs: 0 }), false);
  assert.equal((await stateNow()).state, 'error');
  await sql.end();
  await calm.dispose();
});
