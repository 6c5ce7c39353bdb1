import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import postgres, { type Sql } from 'postgres';
import { type Consumer, startConsumer } from '../support/consumer.ts';
import { createTestDatabase } from '../support/database.ts';
import { waitUntil } from '../support/embedded-place.ts';
import {
  ADMIN_TOKEN,
  addSource,
  batch,
  gmailItem,
  mailOf,
  type PushSource,
  startTestService,
  type TestService,
} from '../support/service.ts';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts';
import { expectProblem } from './problem.ts';
import { openRawConnection, requestHead } from './raw-connection.ts';

/*
 * The database away: every request is told so within the deadline and may be sent again; nothing is lost and nothing
 * stored twice; once the database is back, so is the service, without a restart.
 */

const DEADLINE_MS = 800;
/** Generous: the machine may be slow. What hangs would hang for minutes. */
const ANSWERED_WITHIN_MS = 10_000;

let drop: () => Promise<void>;
let sql: Sql;
let proxy: TcpProxy;
let service: TestService;
let source: PushSource;
let consumer: Consumer;
before(async () => {
  const database = await createTestDatabase();
  drop = database.drop;
  sql = postgres(database.url, { max: 1 });
  proxy = await startTcpProxy(database.url);
  service = await startTestService({ databaseUrl: proxy.url, storeDeadlineMs: DEADLINE_MS });
  source = await addSource(service);
  consumer = await startConsumer();
  await service.api('POST', '/v1/endpoints', { url: consumer.url });
});
after(async () => {
  await expectBack();
  await service.dispose();
  await proxy[Symbol.asyncDispose]();
  await consumer.close();
  await sql.end();
  await drop();
});

let ids = 0;
const freshBatch = (extra = {}) =>
  batch([gmailItem(`aa${(++ids).toString(16)}`, mailOf(`Mail ${ids}`))], extra);
const AUTHORIZATION = { authorization: `Bearer ${ADMIN_TOKEN}` };
const get = (path: string) => fetch(`${service.address}${path}`, { headers: AUTHORIZATION });

/** Sends a batch of one mail as a source does: until it is taken. */
async function pushUntilTaken(body: string): Promise<{ status: string; messageId: string }> {
  for (;;) {
    const response = await service.push(source, body);
    const answer = (await response.json()) as { results: [{ status: string; messageId: string }] };
    if (response.status === 200) return answer.results[0];
    assert.equal(response.status, 503);
    // A tenth of what it asks for.
    await wait(Number(response.headers.get('retry-after')) * 100);
  }
}

/** Waits until every connection serves again: the driver makes each anew in its own time. */
async function expectBack(): Promise<void> {
  await proxy.pass();
  await waitUntil('the service is well', async () => {
    const responses = await Promise.all(Array.from({ length: 30 }, (_, index) => request(index)));
    return responses.every(({ status }) => status === 200);
  });
}

/** Reads, readiness and mail by turns, so that every pool is asked. */
const request = (index: number) =>
  [
    () => get('/v1/mailboxes'),
    () => get('/readyz'),
    () => service.push(source, freshBatch({ missing: ['a'] })),
  ][index % 3]?.() ?? Promise.reject();

/** Of many pushes most are refused before they wait in vain, too: `code` is then another. */
async function expectAway(request: Promise<Response>, code?: string): Promise<void> {
  const startedMs = performance.now();
  const response = await request;
  assert.match(response.headers.get('retry-after') ?? '', /^[1-9]\d*$/);
  const problem = (await response.clone().json()) as { code: string };
  await expectProblem(response, 503, problem.code === code ? code : 'store_unavailable');
  assert.ok(performance.now() - startedMs < ANSWERED_WITHIN_MS);
}

/** Holds that each of these messages has one row in every table, and the endpoint one delivery of it. */
async function expectStoredOnce(messageIds: string[]): Promise<void> {
  const uuids = messageIds.map((id) => id.slice(4));
  const [row] = await sql`
    SELECT (SELECT count(*)::int FROM messages WHERE id = ANY (${uuids}::uuid[])) AS messages,
           (SELECT count(*)::int FROM raw_mails WHERE message_id = ANY (${uuids}::uuid[])) AS raw,
           (SELECT count(*)::int FROM events WHERE id = ANY (${uuids}::uuid[])) AS events,
           (SELECT count(*)::int FROM dedupe_ledger WHERE message_id = ANY (${uuids}::uuid[])) AS ledger,
           (SELECT count(*)::int FROM deliveries WHERE event_id = ANY (${uuids}::uuid[])) AS deliveries`;
  const count = messageIds.length;
  assert.equal(new Set(messageIds).size, count);
  assert.deepEqual(
    { ...row },
    { messages: count, raw: count, events: count, ledger: count, deliveries: count },
  );
}

const cursorNow = async () => (await service.api('GET', `/v1/sources/${source.id}`)).body.cursor;

const failures = {
  'refuses connections': () => proxy.refuse(),
  'closes them at once': () => proxy.hangUp(),
  'is not heard of any more': () => proxy.vanish(),
} satisfies Record<string, () => Promise<void>>;

for (const [name, fail] of Object.entries(failures)) {
  describe(`a database that ${name}`, () => {
    let body: string;
    let cursorBefore: string | null;
    let connectionsBefore: number;
    before(async () => {
      await expectBack();
      body = freshBatch({ cursor: { from: '1', to: String(ids + 1) } });
      cursorBefore = await cursorNow();
      connectionsBefore = proxy.connections();
      await fail();
    });

    test('makes every request a 503 in time, but for /healthz', async () => {
      // Twice: connections that were there, and those that are to be made.
      const nobodysUrl = source.ingestUrl.replace(source.id, `src_${'0'.repeat(32)}`);
      for (const _ of [1, 2]) {
        await Promise.all([
          expectAway(service.push(source, body)),
          expectAway(get('/readyz')),
          expectAway(get('/v1/messages')),
          expectAway(get(`/v1/sources/${source.id}`)),
          expectAway(service.push({ ...source, ingestUrl: nobodysUrl }, body)),
        ]);
        assert.equal((await get('/healthz')).status, 200);
      }
    });

    test('lets none of a hundred requests hang, and is not stormed with connections', async () => {
      await Promise.all(Array.from({ length: 100 }, (_, index) => expectAway(request(index), 'overloaded')));
      assert.ok(proxy.connections() - connectionsBefore < 200);
    });

    test('has moved no cursor, and takes the same batch once it is back', async () => {
      await expectBack();
      assert.equal(await cursorNow(), cursorBefore);
      const first = await pushUntilTaken(body);
      const second = await pushUntilTaken(body);
      assert.deepEqual(second, { ...first, status: 'duplicate' });
      await expectStoredOnce([first.messageId]);
      assert.equal(await cursorNow(), JSON.parse(body).cursor.to);
    });
  });
}

test('a source that is remembered gets its 503 from the commit', async () => {
  const body = freshBatch();
  await service.push(source, freshBatch());
  await proxy.vanish();
  await expectAway(service.push(source, body));
  await expectBack();
  await expectStoredOnce([(await pushUntilTaken(body)).messageId]);
});

test('connections cut while mail is on its way: each gets 200 or 503, and each is stored once', async () => {
  const bodies = Array.from({ length: 60 }, () => freshBatch());
  // Of one in their middle, so that some are stored, some are on their way and some have yet to go.
  proxy.cutBefore(`Mail ${ids - 30}`);
  const statuses = await Promise.all(bodies.map(async (body) => (await service.push(source, body)).status));
  assert.ok(
    statuses.every((status) => status === 200 || status === 503),
    statuses.join(),
  );
  assert.ok(statuses.includes(503));
  await expectBack();
  const again = await Promise.all(bodies.map(pushUntilTaken));
  await expectStoredOnce(again.map(({ messageId }) => messageId));
});

test('what was stored while the answer was lost is a duplicate afterwards', async () => {
  const body = freshBatch();
  proxy.cutAfter(`Mail ${ids}`);
  await expectAway(service.push(source, body));
  await expectBack();
  const { status, messageId } = await pushUntilTaken(body);
  assert.equal(status, 'duplicate');
  await expectStoredOnce([messageId]);
});

test('a service stops in time although the database is not heard of', async () => {
  const second = await startTestService({ databaseUrl: proxy.url, storeDeadlineMs: DEADLINE_MS });
  await proxy.vanish();
  const connection = await openRawConnection(second.address);
  await connection.write(requestHead('GET', `${second.address}/v1/mailboxes`, AUTHORIZATION));
  // Taken in turn: once this is answered, that one is under way.
  assert.equal((await fetch(`${second.address}/healthz`)).status, 200);
  const startedMs = performance.now();
  const [answer] = await Promise.all([connection.answer(), second.dispose()]);
  assert.ok(performance.now() - startedMs < 2 * ANSWERED_WITHIN_MS);
  assert.equal(answer.status, 503);
});
