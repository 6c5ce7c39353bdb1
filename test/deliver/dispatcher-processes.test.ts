import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { pino } from 'pino';
import postgres, { type Sql } from 'postgres';
import { createKeyring } from '../../src/core/sealed.ts';
import { startDispatcher } from '../../src/deliver/dispatcher.ts';
import { createEgress } from '../../src/deliver/egress.ts';
import { createPoster } from '../../src/deliver/post.ts';
import { openDatabase } from '../../src/store/database.ts';
import { addConsumer, addDue } from '../support/deliveries.ts';
import { waitUntil } from '../support/embedded-place.ts';
import { startMailgress } from '../support/process.ts';
import {
  ADMIN_TOKEN,
  addSource,
  batch,
  callApi,
  gmailItem,
  mailOf,
  push,
  SECRET_KEY,
  startTestService,
  type TestService,
} from '../support/service.ts';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts';

/* The dispatchers here never scan: whatever they do, they were told to. */
const NEVER_MS = 3_600_000;

/** Makes endpoints and deliveries, and dispatches nothing. */
let service: TestService;
let sql: Sql;
before(async () => {
  service = await startTestService({ dispatch: false });
  sql = postgres(service.databaseUrl, { max: 2, onnotice: () => {} });
});
beforeEach(() => sql`TRUNCATE deliveries, attempts, events`);
after(async () => {
  await sql.end();
  await service.dispose();
});

function startOwnDispatcher(url = service.databaseUrl) {
  const database = openDatabase(url);
  const poster = createPoster({
    egress: createEgress({ allow: [], allowLoopback: true }),
    userAgent: 'Mailgress/test',
  });
  const dispatcher = startDispatcher({
    database,
    poster,
    keyring: createKeyring([SECRET_KEY]),
    log: pino({ level: 'silent' }),
    scanIntervalMs: NEVER_MS,
  });
  return {
    ...dispatcher,
    async [Symbol.asyncDispose]() {
      await dispatcher.stop();
      await poster.close();
      await database.close();
    },
  };
}

async function isListenedTo(): Promise<boolean> {
  const listening = await sql`
    SELECT FROM pg_stat_activity WHERE datname = current_database() AND query ILIKE 'listen%' AND state = 'idle'`;
  return listening.length > 0;
}

/** What comes after this a dispatcher is told. */
async function waitForListener(): Promise<void> {
  await waitUntil('someone listens', isListenedTo);
}

/** Until the service has seen it and tried in vain. */
async function takeAway(proxy: TcpProxy): Promise<void> {
  const before = proxy.connections();
  await proxy.hangUp();
  await waitUntil('it has tried in vain', () => proxy.connections() > before + 3);
}

async function rowsOf(status: string): Promise<{ attempts: number; isFree: boolean }[]> {
  return sql`SELECT attempts, lease_owner IS NULL AND next_attempt_at <= now() AS "isFree"
    FROM deliveries WHERE status = ${status}`;
}

describe('a process that does not dispatch', () => {
  test('wakes the dispatcher of another by NOTIFY, for mail and for what the API asks', async () => {
    await using _ = startOwnDispatcher();
    await using consumer = await addConsumer(service);
    await waitForListener();
    await using other = startMailgress(['serve', '--no-dispatch'], {
      DATABASE_URL: service.databaseUrl,
      MAILGRESS_ADMIN_TOKEN: ADMIN_TOKEN,
      MAILGRESS_SECRET_KEY: SECRET_KEY,
    });
    const address = await other.ready();

    // Due, and nobody told: it stays until someone is.
    await addDue(sql, consumer.id, 1);
    const source = await addSource({ address });
    assert.equal((await push(source, batch([gmailItem('18c1', mailOf('Told'))]))).status, 200);
    const types = (await consumer.waitFor(2)).map(({ body }) => JSON.parse(body).type);
    assert.deepEqual(types.sort(), ['endpoint.test', 'message.received']);

    await callApi(address, 'POST', `/v1/endpoints/${consumer.id}/test`);
    await consumer.waitFor(3);
  });

  test('is heard again after the database was away', async () => {
    await using proxy = await startTcpProxy(service.databaseUrl);
    await using _ = startOwnDispatcher(proxy.url);
    await using consumer = await addConsumer(service);
    await waitForListener();
    await takeAway(proxy);
    await waitUntil('nobody listens', async () => !(await isListenedTo()));
    await proxy.pass();
    await waitForListener();
    await service.api('POST', `/v1/endpoints/${consumer.id}/test`);
    await consumer.waitFor(1);
  });
});

test('two dispatchers share one endpoint: all is sent, nothing twice, never more at a time than it allows', async () => {
  let underWay = 0;
  let most = 0;
  await using consumer = await addConsumer(
    service,
    (response) => {
      most = Math.max(most, ++underWay);
      setImmediate(() => {
        underWay--;
        response.writeHead(204).end();
      });
    },
    { maxInFlight: 4 },
  );
  await addDue(sql, consumer.id, 300);
  await using _one = startOwnDispatcher();
  await using _other = startOwnDispatcher();
  await consumer.waitFor(300);
  await waitUntil('all are recorded', async () => (await rowsOf('succeeded')).length === 300);
  assert.equal(new Set(consumer.received.map(({ headers }) => headers['webhook-id'])).size, 300);
  assert.equal(consumer.received.length, 300);
  // Softly: two claims in one instant do not see each other.
  assert.ok(most <= 8, `${most} at a time`);
});

describe('a dispatcher that is stopped', () => {
  test('lets what is under way end, records it, and begins nothing more', async () => {
    let answer = () => {};
    await using consumer = await addConsumer(
      service,
      (response) => {
        answer = () => response.writeHead(204).end();
      },
      { maxInFlight: 1 },
    );
    await addDue(sql, consumer.id, 3);
    await using dispatcher = startOwnDispatcher();
    await consumer.waitFor(1);
    let isStopped = false;
    const stopping = dispatcher.stop().then(() => {
      isStopped = true;
    });
    // Told of more, it does not look.
    dispatcher.wake();
    assert.equal((await rowsOf('pending')).length, 3);
    assert.equal(isStopped, false);
    answer();
    await stopping;
    assert.deepEqual(
      [...(await rowsOf('succeeded'))].map(({ attempts }) => attempts),
      [1],
    );
    assert.deepEqual([...(await rowsOf('pending'))], Array(2).fill({ attempts: 0, isFree: true }));
    assert.equal(consumer.received.length, 1);
  });

  test('while it claims gives back what it got, for others to send at once', async () => {
    await using consumer = await addConsumer(service);
    await addDue(sql, consumer.id, 5);
    // A claim has to wait for this lock.
    const lock = await sql.reserve();
    await lock`BEGIN`;
    await lock`LOCK TABLE events`;
    {
      await using dispatcher = startOwnDispatcher();
      await waitUntil('it is claiming', async () => {
        const waiting = await sql`SELECT FROM pg_locks WHERE NOT granted AND relation = 'events'::regclass`;
        return waiting.length > 0;
      });
      const stopping = dispatcher.stop();
      await lock`COMMIT`;
      lock.release();
      await stopping;
    }
    const given = await sql`SELECT sum(fence)::int AS claims FROM deliveries`;
    assert.equal(given[0]?.claims, 5);
    assert.deepEqual([...(await rowsOf('pending'))], Array(5).fill({ attempts: 0, isFree: true }));
    assert.equal(consumer.received.length, 0);
    await using _ = startOwnDispatcher();
    await consumer.waitFor(5);
  });
});

test('what is answered while the database is away is recorded when it is back, and not sent again', async () => {
  const answers: (() => void)[] = [];
  await using consumer = await addConsumer(service, (response) => {
    answers.push(() => response.writeHead(204).end());
  });
  await addDue(sql, consumer.id, 5);
  await using proxy = await startTcpProxy(service.databaseUrl);
  await using _ = startOwnDispatcher(proxy.url);
  await consumer.waitFor(5);
  await takeAway(proxy);
  for (const answer of answers) answer();
  await takeAway(proxy);
  await proxy.pass();
  await waitUntil('all are recorded', async () => (await rowsOf('succeeded')).length === 5);
  assert.deepEqual(
    [...(await rowsOf('succeeded'))].map(({ attempts }) => attempts),
    Array(5).fill(1),
  );
  assert.equal(consumer.received.length, 5);
});
