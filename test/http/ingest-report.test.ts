import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import postgres, { type Sql } from 'postgres';
import { startConsumer } from '../support/consumer.ts';
import { waitUntil } from '../support/embedded-place.ts';
import {
  addSource,
  batch,
  gmailItem,
  mailOf,
  type PushSource,
  startTestService,
  type TestService,
} from '../support/service.ts';

let service: TestService;
let sql: Sql;
before(async () => {
  service = await startTestService();
  sql = postgres(service.databaseUrl, { max: 1 });
});
after(async () => {
  await sql.end();
  await service.dispose();
});

async function report(source: PushSource, extra: Record<string, unknown>, messages: unknown[] = []) {
  const response = await service.push(source, batch(messages, extra));
  assert.equal(response.status, 200, await response.text());
}

const cursorOf = (from: string, to: string) => ({ cursor: { from, to } });
const sourceOf = async ({ id }: PushSource) => (await service.api('GET', `/v1/sources/${id}`)).body;

async function gapsOf({ id }: PushSource) {
  const rows = await sql`
    SELECT reason, from_cursor AS "from", to_cursor AS "to", recovered_by AS "recoveredBy",
           recovered_at IS NOT NULL AS "isRecovered"
    FROM gaps WHERE source_id = ${id.slice(4)} ORDER BY id`;
  return rows.map((row) => ({ ...row }));
}

async function stubsOf({ id }: PushSource) {
  const rows = await sql`
    SELECT provider_id AS id, status, error, attempts FROM stubs WHERE source_id = ${id.slice(4)}
    ORDER BY provider_id`;
  return rows.map((row) => ({ ...row }));
}

describe('the cursor', () => {
  test('is what the last batch reached', async () => {
    const source = await addSource(service);
    assert.equal((await sourceOf(source)).cursor, null);
    await report(source, cursorOf('100', '200'));
    assert.equal((await sourceOf(source)).cursor, '200');
    await report(source, cursorOf('200', '300'), [gmailItem('c1', mailOf('With a mail'))]);
    assert.equal((await sourceOf(source)).cursor, '300');
    assert.deepEqual(await gapsOf(source), []);
  });

  test('never goes back, and is compared as a number', async () => {
    const source = await addSource(service);
    await report(source, cursorOf('900', '1000'));
    await report(source, cursorOf('800', '999'));
    assert.equal((await sourceOf(source)).cursor, '1000');
    await report(source, cursorOf('0', '9'));
    assert.equal((await sourceOf(source)).cursor, '1000');
    assert.deepEqual(await gapsOf(source), []);
  });

  test('keeps digits beyond what a double and 64 bits hold', async () => {
    const source = await addSource(service);
    const [first, second] = ['900719925474099312345678901', '900719925474099312345678902'];
    await report(source, cursorOf('1', first));
    await report(source, cursorOf(first, second));
    assert.equal((await sourceOf(source)).cursor, second);
    await report(source, cursorOf('1', first));
    assert.equal((await sourceOf(source)).cursor, second);
    assert.deepEqual(await gapsOf(source), []);
  });

  test('is the greatest of batches that come at once', async () => {
    const source = await addSource(service);
    const batches = Array.from({ length: 10 }, (_, index) => report(source, cursorOf('1', `${100 - index}`)));
    await Promise.all(batches);
    assert.equal((await sourceOf(source)).cursor, '100');
  });

  test('does not move for a ping, a plain mail or a batch without one', async () => {
    const source = await addSource(service);
    await report(source, cursorOf('1', '50'));
    await report(source, { cursor: null });
    await service.push(source, '{"kind":"ping"}');
    assert.equal((await sourceOf(source)).cursor, '50');
  });
});

describe('a gap', () => {
  test('opens where a batch begins beyond the last, once, and whoever asked is told', async () => {
    const source = await addSource(service);
    const consumer = await startConsumer();
    const asked = { url: consumer.url, types: ['gap.opened', 'gap.recovered'] };
    const { body: endpoint } = await service.api('POST', '/v1/endpoints', asked);
    await report(source, cursorOf('100', '200'));
    await report(source, cursorOf('250', '300'));
    const expected = { reason: 'cursor_jump', from: '200', to: '250', recoveredBy: null };
    assert.deepEqual(await gapsOf(source), [{ ...expected, isRecovered: false }]);
    const { cursor, counts } = await sourceOf(source);
    assert.deepEqual([cursor, counts], ['300', { failed: 0, missing: 0, openGaps: 1 }]);

    const [webhook] = await consumer.waitFor(1);
    const event = JSON.parse(webhook?.body ?? '');
    assert.equal(event.type, 'gap.opened');
    const { id, openedAt, ...told } = event.data.gap;
    assert.deepEqual(told, {
      ...expected,
      since: null,
      listed: 0,
      recovered: 0,
      sourceId: source.id,
      recoveredAt: null,
    });
    assert.match(id, /^gap_[0-9a-f]{32}$/);
    assert.equal(new Date(openedAt).toISOString(), openedAt);

    // The same batch again, and one that told of it by itself and is repeated.
    await report(source, cursorOf('250', '300'));
    const told2 = {
      gap: { from: '310', reason: 'history_expired', recoveredBy: null },
      ...cursorOf('400', '500'),
    };
    await report(source, told2);
    await report(source, told2);
    assert.equal((await gapsOf(source)).length, 2);
    const [, second] = await consumer.waitFor(2);
    assert.equal(JSON.parse(second?.body ?? '').data.gap.reason, 'history_expired');
    const [row] = await sql`SELECT count(*)::int AS count FROM events WHERE type = 'gap.opened'`;
    assert.equal(row?.count, 2);
    await service.api('DELETE', `/v1/endpoints/${endpoint.id}`);
    await consumer.close();
  });

  test('that the script has closed by a search explains the jump, and is recovered', async () => {
    const source = await addSource(service);
    await report(source, cursorOf('100', '200'));
    const gap = { from: '200', reason: 'history_expired', recoveredBy: 'search' };
    await report(source, { gap, ...cursorOf('900', '1000') });
    assert.deepEqual(await gapsOf(source), [{ ...gap, to: '1000', isRecovered: true }]);
    assert.equal((await sourceOf(source)).counts.openGaps, 0);
    const [row] = await sql`SELECT count(*)::int AS count FROM events WHERE type = 'gap.recovered'`;
    assert.equal(row?.count, 1);
  });

  test('of unknown beginning, told twice, is one', async () => {
    const source = await addSource(service);
    for (const _ of [1, 2]) await report(source, { gap: { reason: 'history_expired' } });
    assert.equal((await gapsOf(source)).length, 1);
  });

  test('is none where a batch begins at or before the last, or is the first', async () => {
    const source = await addSource(service);
    await report(source, cursorOf('5000', '6000'));
    await report(source, cursorOf('6000', '7000'));
    await report(source, cursorOf('5500', '8000'));
    assert.deepEqual(await gapsOf(source), []);
  });
});

describe('what could not be fetched', () => {
  test('is kept as stubs, missing and failed, the last word on an id counting', async () => {
    const source = await addSource(service);
    await report(source, {
      missing: ['m2', 'm1', 'm1', 'x'],
      failed: [
        { id: 'f1', error: 'Quota exceeded', attempts: 5 },
        { id: 'x', error: 'Empty\0 response' },
      ],
    });
    assert.deepEqual(await stubsOf(source), [
      { id: 'f1', status: 'failed', error: 'Quota exceeded', attempts: 5 },
      { id: 'm1', status: 'missing', error: null, attempts: 0 },
      { id: 'm2', status: 'missing', error: null, attempts: 0 },
      { id: 'x', status: 'failed', error: 'Empty\ufffd response', attempts: 0 },
    ]);
    assert.deepEqual((await sourceOf(source)).counts, { failed: 2, missing: 2, openGaps: 0 });

    await report(source, { missing: ['f1'], failed: [{ id: 'm1', error: 'Timeout', attempts: 2 }] });
    const [f1, m1] = await stubsOf(source);
    assert.deepEqual(f1, { id: 'f1', status: 'missing', error: null, attempts: 5 });
    assert.deepEqual(m1, { id: 'm1', status: 'failed', error: 'Timeout', attempts: 2 });
  });

  test('may be 10,000 at once', async () => {
    const source = await addSource(service);
    await report(source, { missing: Array.from({ length: 10_000 }, (_, index) => `m${index}`) });
    assert.equal((await sourceOf(source)).counts.missing, 10_000);
  });
});

describe('a sign of life', () => {
  const isAlive = async (source: PushSource) => (await sourceOf(source)).lastProvenAliveAt !== null;

  test('is a ping, which tells what the script is', async () => {
    const source = await addSource(service);
    const startedAt = new Date().toISOString();
    const script = { version: '1.2.3', account: 'me@example.com' };
    const response = await service.push(source, JSON.stringify({ kind: 'ping', script }));
    assert.deepEqual([response.status, await response.json()], [200, { results: [] }]);
    await waitUntil('the source is alive', () => isAlive(source));
    const { lastProvenAliveAt, lastMessageAt, script: told } = await sourceOf(source);
    assert.ok(lastProvenAliveAt >= startedAt);
    assert.deepEqual([lastMessageAt, told], [null, script]);
  });

  test('is a batch, which tells of the backlog as well', async () => {
    const source = await addSource(service);
    await report(source, { backlog: 7, paused: true }, [gmailItem('1e', mailOf('Life'))]);
    await waitUntil('the source is alive', () => isAlive(source));
    const { lastProvenAliveAt, lastMessageAt, script } = await sourceOf(source);
    assert.equal(lastMessageAt, lastProvenAliveAt);
    assert.deepEqual(script, { version: '1.0.0', account: 'me@example.com', backlog: 7, paused: true });
  });

  test('is not what was refused', async () => {
    const [refused, taken] = [await addSource(service), await addSource(service)];
    await service.push(refused, '{"kind":"letters"}');
    await service.push({ ...refused, secret: taken.secret }, '{"kind":"ping"}');
    await service.push(taken, '{"kind":"ping"}');
    // Both would be written together.
    await waitUntil('the other source is alive', () => isAlive(taken));
    assert.equal(await isAlive(refused), false);
  });
});
