import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
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

const DEADLINE_MS = 1000;
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
beforeEach(() => expectBack());
after(async () => {
  await proxy.pass();
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
const bodyOf = async (response: Response) =>
  (await response.json()) as { results: { status: string; messageId: string }[] };

async function expectBack(): Promise<void> {
  await proxy.pass();
  await waitUntil('the service is ready', async () => (await get('/readyz')).status === 200);
}

async function expectAway(request: Promise<Response>): Promise<void> {
  const startedMs = performance.now();
  const response = await request;
  assert.match(response.headers.get('retry-after') ?? '', /^[1-9]\d*$/);
  await expectProblem(response, 503, 'store_unavailable');
  assert.ok(performance.now() - startedMs < ANSWERED_WITHIN_MS);
}

/** What each mail has one row in; the endpoint is one. */
const TABLES = ['messages', 'events', 'raw_mails', 'dedupe_ledger', 'deliveries'] as const;

async function countOf(table: (typeof TABLES)[number]): Promise<number> {
  const [row] = await sql`SELECT count(*)::int AS count FROM ${sql(table)}`;
  return row?.count;
}

const failures = {
  'refuses connections': () => proxy.refuse(),
  'closes them at once': () => proxy.hangUp(),
  'is not heard of any more': () => proxy.vanish(),
} satisfies Record<string, () => Promise<void>>;

for (const [name, fail] of Object.entries(failures)) {
  describe(`a database that ${name}`, () => {
    test('makes every request a 503 in time, but for /healthz', async () => {
      await fail();
      // Twice: connections that were there, and those that are to be made.
      for (const _ of [1, 2]) {
        await Promise.all([
          expectAway(service.push(source, freshBatch())),
          expectAway(get('/readyz')),
          expectAway(get('/v1/messages')),
          expectAway(get(`/v1/sources/${source.id}`)),
          expectAway(fetch(source.ingestUrl.replace(source.id, `src_${'0'.repeat(32)}`), { method: 'POST' })),
        ]);
        assert.equal((await get('/healthz')).status, 200);
      }
    });

    test('takes the same batch once it is back, and stores it once', async () => {
      const body = freshBatch({ cursor: { from: '1', to: String(ids) } });
      const cursorBefore = (await service.api('GET', `/v1/sources/${source.id}`)).body.cursor;
      const storedBefore = await countOf('messages');
      await fail();
      await expectAway(service.push(source, body));
      await expectAway(service.push(source, body));
      await expectBack();
      assert.equal((await service.api('GET', `/v1/sources/${source.id}`)).body.cursor, cursorBefore);

      const first = await bodyOf(await service.push(source, body));
      const second = await bodyOf(await service.push(source, body));
      assert.equal(second.results[0]?.status, 'duplicate');
      assert.equal(second.results[0]?.messageId, first.results[0]?.messageId);
      for (const table of TABLES) assert.equal(await countOf(table), storedBefore + 1, table);
      assert.equal((await service.api('GET', `/v1/sources/${source.id}`)).body.cursor, String(ids - 1));
    });

    test('lets none of a hundred requests hang, and serves on every connection once it is back', async () => {
      // So that all connections there can be are there.
      assert.ok(await isWell());
      const connectionsBefore = proxy.connections();
      await fail();
      await Promise.all(Array.from({ length: 100 }, (_, index) => expectAway(request(index))));
      // A few for each that there can be, not a storm.
      assert.ok(proxy.connections() - connectionsBefore < 200);
      await expectBack();
      await waitUntil('every connection serves', isWell);
    });
  });
}

const request = (index: number) =>
  index % 2 === 0 ? get('/v1/mailboxes') : service.push(source, freshBatch({ missing: ['a'] }));

async function isWell(): Promise<boolean> {
  const responses = await Promise.all(Array.from({ length: 40 }, (_, index) => request(index)));
  return responses.every(({ status }) => status === 200);
}

test('a source that is remembered gets its 503 from the commit', async () => {
  const body = freshBatch();
  await service.push(source, freshBatch());
  await proxy.vanish();
  await expectAway(service.push(source, body));
  await expectBack();
  assert.equal((await service.push(source, body)).status, 200);
});

test('connections cut while mail is on its way: each gets 200 or 503, and each is stored once', async () => {
  const bodies = Array.from({ length: 60 }, () => freshBatch());
  const storedBefore = await countOf('messages');
  proxy.cutAtNextRequest();
  const statuses = await Promise.all(bodies.map(async (body) => (await service.push(source, body)).status));
  assert.ok(
    statuses.every((status) => status === 200 || status === 503),
    statuses.join(),
  );

  for (const body of bodies) {
    await waitUntil('it is stored', async () => (await service.push(source, body)).status === 200);
  }
  for (const table of TABLES) assert.equal(await countOf(table), storedBefore + 60, table);
});

test('what was stored before the answer was lost is a duplicate afterwards', async () => {
  const body = freshBatch();
  const storedBefore = await countOf('messages');
  assert.equal((await service.push(source, body)).status, 200);
  // The row is there; of the second request neither the mail nor the answer comes through.
  await proxy.vanish();
  await expectAway(service.push(source, body));
  await expectBack();
  const { results } = await bodyOf(await service.push(source, body));
  assert.equal(results[0]?.status, 'duplicate');
  assert.equal(await countOf('messages'), storedBefore + 1);
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
