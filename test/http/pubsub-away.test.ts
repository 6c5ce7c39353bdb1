import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import postgres, { type Sql } from 'postgres';
import type { Id } from '../../src/core/ids.ts';
import { createTestDatabase } from '../support/database.ts';
import { waitUntil } from '../support/embedded-place.ts';
import { addGmailSource, readHint } from '../support/gmail-source.ts';
import { type PushTokens, startPushTokens } from '../support/push-tokens.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts';
import { captureLog } from './captured-log.ts';
import { expectProblem } from './problem.ts';

/*
 * Google's keys or the database away: a push is not taken, so that Pub/Sub sends it again, and is taken once they are
 * back, without a restart.
 */

const ADDRESS = 'watched@example.com';

let google: PushTokens;
let drop: () => Promise<void>;
let sql: Sql;
let proxy: TcpProxy;
let source: Id<'src'>;
const { log, lines } = captureLog();
before(async () => {
  google = await startPushTokens();
  const database = await createTestDatabase();
  drop = database.drop;
  sql = postgres(database.url, { max: 1 });
  proxy = await startTcpProxy(database.url);
  source = await addGmailSource(sql, ADDRESS);
});
after(async () => {
  await proxy[Symbol.asyncDispose]();
  await sql.end();
  await drop();
  await google[Symbol.asyncDispose]();
});

const start = () =>
  startTestService({ databaseUrl: proxy.url, pubsub: google.options, storeDeadlineMs: 800, log });

let historyId = 0;
const push = async (service: TestService) =>
  fetch(`${service.address}/v1/ingest/pubsub`, {
    method: 'POST',
    headers: { authorization: `Bearer ${await google.token()}` },
    body: JSON.stringify({ emailAddress: ADDRESS, historyId: ++historyId }),
  });
const keptId = async () => (await readHint(sql, source)).historyId;

async function expectBack(service: TestService): Promise<void> {
  await waitUntil('a push is taken', async () => (await push(service)).status === 204);
  assert.equal(await keptId(), String(historyId));
}

test('keys that are away at the start', async () => {
  await google.stop();
  const service = await start();
  try {
    for (let count = 0; count < 3; count++) {
      const response = await push(service);
      assert.ok(Number(response.headers.get('retry-after')) > 0);
      await expectProblem(response, 503, 'keys_unavailable');
    }
    assert.equal(await keptId(), null);
    assert.ok(
      lines.some(({ msg, reason }) => msg.includes('keys') && String(reason).includes('ECONNREFUSED')),
    );
    // Others are refused as ever.
    const unsigned = await fetch(`${service.address}/v1/ingest/pubsub`, { method: 'POST', body: '{}' });
    await expectProblem(unsigned, 401, 'unauthorized');

    await google.start();
    await expectBack(service);
  } finally {
    await service.dispose();
  }
});

test('keys that go away later are not missed', async () => {
  const service = await start();
  try {
    await expectBack(service);
    await google.stop();
    for (let count = 0; count < 5; count++) assert.equal((await push(service)).status, 204);
    assert.equal(await keptId(), String(historyId));
  } finally {
    await google.start();
    await service.dispose();
  }
});

for (const [name, fail] of Object.entries({
  'refuses connections': () => proxy.refuse(),
  'is not heard of any more': () => proxy.vanish(),
})) {
  test(`a database that ${name}`, async () => {
    const service = await start();
    try {
      await expectBack(service);
      const before = await keptId();
      await fail();
      const responses = await Promise.all(Array.from({ length: 10 }, () => push(service)));
      for (const response of responses) {
        assert.ok(Number(response.headers.get('retry-after')) > 0);
        await expectProblem(response, 503, 'store_unavailable');
      }
      assert.equal(await keptId(), before);
      await proxy.pass();
      await expectBack(service);
    } finally {
      await proxy.pass();
      await service.dispose();
    }
  });
}

test('a stop lets the pushes under way end', async () => {
  const service = await start();
  await expectBack(service);
  const underWay = Array.from({ length: 50 }, () => push(service).catch(() => undefined));
  await Promise.race(underWay);
  await service.dispose();
  // Those that did not get in were refused a connection.
  const statuses = new Set((await Promise.all(underWay)).map((response) => response?.status));
  statuses.delete(undefined);
  assert.deepEqual([...statuses], [204]);
});
