import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import postgres from 'postgres';
import { createTestDatabase } from '../support/database.ts';
import { type Dovecot, startDovecot } from '../support/imap/dovecot.ts';
import { type FaultProxy, startFaultProxy } from '../support/imap/fault-proxy.ts';
import { type Answer, addSource, startTestService, type TestService } from '../support/service.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';
import { mailTo, serverOf, until } from './stage.ts';

/** An outage so long is told; a test that has none of it takes less time, even on a busy machine. */
const BOUND_MS = 4000;
const LONG_BOUND_MS = 30_000;
const OFTEN = { imapProbeMs: 500, scanIntervalMs: 200, silenceLookMs: 200 };

const dovecot = await startDovecot();
after(() => dovecot.stop());

type Scene = AsyncDisposable & {
  service: TestService;
  sql: postgres.Sql;
  proxy: FaultProxy;
  add(user: string, change?: Record<string, unknown>): Promise<string>;
  read(id: string): Promise<Answer['body']>;
  untilState(id: string, state: string): Promise<void>;
  events(id: string): Promise<{ type: string; previous: string; state: string; reason: string }[]>;
  untilEvents(id: string, count: number): Promise<void>;
};

/** A service on a database of its own, and mailboxes of the Dovecot by way of a proxy. */
async function open(
  options: Parameters<typeof startTestService>[0],
  server: Dovecot = dovecot,
): Promise<Scene> {
  await using stack = new AsyncDisposableStack();
  const service = await startTestService({ ...OFTEN, ...options });
  stack.defer(() => service.dispose());
  const sql = postgres(service.databaseUrl, { max: 2, onnotice: () => {} });
  stack.defer(() => sql.end({ timeout: 5 }));
  const proxy = stack.use(await startFaultProxy(server));
  const held = stack.move();

  const scene: Scene = {
    service,
    sql,
    proxy,
    async add(user, change = {}) {
      const { body: mailbox } = await service.api('POST', '/v1/mailboxes', { address: user });
      const { status, body } = await service.api('POST', `/v1/mailboxes/${mailbox.id}/sources`, {
        kind: 'imap',
        ...serverOf({ ...proxy, password: server.password }, user),
        ...change,
      });
      assert.equal(status, 201, JSON.stringify(body));
      return body.id;
    },
    read: async (id) => (await service.api('GET', `/v1/sources/${id}`)).body,
    async untilState(id, state) {
      let source: Answer['body'];
      await until(
        async () => {
          source = await scene.read(id);
          return source.state === state;
        },
        30_000,
        () => `the source is ${source?.state} (${source?.reason}), not ${state}`,
      );
    },
    async events(id) {
      const rows = await sql`
        SELECT type, data FROM events WHERE data->'source'->>'id' = ${id} ORDER BY xid, id`;
      return rows.map(({ type, data }) => ({
        type,
        previous: data.previous,
        state: data.source.state,
        reason: data.reason,
      }));
    },
    async untilEvents(id, count) {
      let found: unknown[] = [];
      await until(
        async () => {
          found = await scene.events(id);
          return found.length >= count;
        },
        30_000,
        () => `there are ${found.length} events, not ${count}`,
      );
      // Looked at several times more: each is told once.
      await wait(1000);
      assert.equal((await scene.events(id)).length, count);
    },
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
  return scene;
}

async function tryNow({ sql }: Scene, id: string): Promise<void> {
  await sql`UPDATE sources SET due_at = now() WHERE id = ${id.slice(4)}`;
}

async function untilAlive(scene: Scene, id: string, since = new Date(0)): Promise<void> {
  await until(
    async () => new Date((await scene.read(id)).lastProvenAliveAt) > since,
    30_000,
    () => 'the source is not proven alive',
  );
}

describe('an outage of the server', () => {
  test('that is short is nobody’s alarm', async () => {
    await using scene = await open({ imap: true, outageAfterMs: LONG_BOUND_MS });
    const { proxy } = scene;
    const id = await scene.add('short@example.com');
    await untilAlive(scene, id);
    for (const _ of [1, 2]) {
      proxy.refuse();
      proxy.set({ kind: 'cut', how: 'reset' }, 'open');
      await scene.untilState(id, 'backoff');
      await proxy.accept();
      const backAt = new Date();
      await tryNow(scene, id);
      await untilAlive(scene, id, backAt);
      await scene.untilState(id, 'idle');
    }
    await scene.untilEvents(id, 0);
  });

  test('that lasts is told once, with its reason, and its end once', async () => {
    await using scene = await open({ imap: true, outageAfterMs: BOUND_MS });
    const { proxy, sql } = scene;
    const id = await scene.add('long@example.com');
    await untilAlive(scene, id);
    proxy.refuse();
    proxy.set({ kind: 'cut', how: 'reset' }, 'open');
    await scene.untilEvents(id, 1);
    const [told] = await scene.events(id);
    const source = await scene.read(id);
    assert.deepEqual([told?.type, told?.previous, told?.state], ['source.state_changed', 'backoff', 'error']);
    assert.match(told?.reason ?? '', /lost|cannot be reached/);
    assert.deepEqual([source.state, source.reason], ['error', told?.reason]);

    // Tries that fail meanwhile change nothing of that.
    const failures = async () =>
      (await sql`SELECT failures FROM sources WHERE id = ${id.slice(4)}`)[0]?.failures;
    const before = await failures();
    await tryNow(scene, id);
    await until(
      async () => (await failures()) > before,
      30_000,
      () => 'it is not tried again',
    );
    assert.equal((await scene.read(id)).state, 'error');
    await scene.untilEvents(id, 1);

    await proxy.accept();
    await tryNow(scene, id);
    await scene.untilEvents(id, 2);
    await scene.untilState(id, 'idle');
    const [, back] = await scene.events(id);
    assert.deepEqual(
      [back?.type, back?.previous, back?.reason],
      ['source.state_changed', 'error', 'it is proven alive again'],
    );

    // And the next one alike.
    proxy.refuse();
    proxy.set({ kind: 'cut', how: 'reset' }, 'open');
    await scene.untilEvents(id, 3);
    assert.equal((await scene.read(id)).state, 'error');
  });

  test('is none while a large mail comes slowly', async () => {
    await using scene = await open({ imap: true, outageAfterMs: BOUND_MS });
    const user = 'slow@example.com';
    const id = await scene.add(user);
    await untilAlive(scene, id);
    scene.proxy.set({ kind: 'slow', bytesPerSecond: 100_000 }, 'open');
    const line = 'a line of a large mail that is as long as lines are\r\n';
    await dovecot.deliver(user, mailTo(user, 'slow') + line.repeat(900_000 / line.length));
    const startedMs = performance.now();
    await until(
      async () => (await scene.sql`SELECT FROM messages WHERE subject = 'slow'`).length === 1,
      60_000,
      () => 'the mail has not come',
    );
    assert.ok(performance.now() - startedMs > BOUND_MS + 2000, 'longer than an outage');
    assert.deepEqual(await scene.events(id), []);
  });

  test('of a source that is stopped is not told', async () => {
    await using scene = await open({ imap: true, outageAfterMs: BOUND_MS });
    const id = await scene.add('stopped@example.com');
    await untilAlive(scene, id);
    await scene.service.api('POST', `/v1/sources/${id}/stop`);
    await scene.sql`
      UPDATE sources SET last_proven_alive_at = now() - interval '1 day', wanted_at = now() - interval '1 day'
      WHERE id = ${id.slice(4)}`;
    await wait(BOUND_MS + 1000);
    await scene.untilEvents(id, 0);
    assert.equal((await scene.read(id)).state, 'disconnected');
  });

  test('of a standby ends when another reads in its stead', async () => {
    await using scene = await open({ imap: true, outageAfterMs: BOUND_MS });
    const { service, proxy } = scene;
    const script = await addSource(service, 'apps-script');
    const user = 'standby@example.com';
    const { body } = await service.api('POST', `/v1/mailboxes/${script.mailboxId}/sources`, {
      kind: 'imap',
      standby: true,
      ...serverOf({ ...proxy, password: dovecot.password }, user),
    });
    await scene.untilState(body.id, 'idle');
    proxy.refuse();
    proxy.set({ kind: 'cut', how: 'reset' }, 'open');
    await scene.untilEvents(body.id, 1);
    assert.equal((await scene.read(body.id)).state, 'error');
    assert.equal((await service.push(script, '{"kind":"ping"}')).status, 200);
    await untilAlive(scene, script.id);
    await tryNow(scene, body.id);
    await scene.untilState(body.id, 'standby');
    await scene.untilEvents(body.id, 2);
    const [, back] = await scene.events(body.id);
    assert.deepEqual([back?.type, back?.state], ['source.state_changed', 'standby']);
    // Asleep it has no outages.
    await scene.sql`UPDATE sources SET last_proven_alive_at = now() - interval '1 day' WHERE id = ${body.id.slice(4)}`;
    await scene.untilEvents(body.id, 2);
  });
});

describe('without any worker', () => {
  test('a source is silent, and recovers when there is one', async () => {
    await using scene = await open({ imap: false, outageAfterMs: BOUND_MS });
    const id = await scene.add('alone@example.com');
    await scene.untilEvents(id, 1);
    const [told] = await scene.events(id);
    assert.deepEqual([told?.type, told?.state], ['source.silent', 'error']);
    assert.match(told?.reason ?? '', /no worker has read it since .*mailgress worker/);
    const worker = await startTestService({ ...OFTEN, imap: true, databaseUrl: scene.service.databaseUrl });
    try {
      await scene.untilEvents(id, 2);
      await scene.untilState(id, 'idle');
      const [, back] = await scene.events(id);
      assert.deepEqual([back?.type, back?.previous], ['source.recovered', 'error']);
    } finally {
      await worker.stop();
    }
  });
});

describe('an outage of the database', () => {
  test('is no outage of a source in the eyes of who could not reach it', async () => {
    const database = await createTestDatabase();
    const network = await startTcpProxy(database.url);
    try {
      await using scene = await open({
        imap: true,
        outageAfterMs: BOUND_MS,
        databaseUrl: network.url,
        storeDeadlineMs: 1500,
      });
      const user = 'away@example.com';
      const id = await scene.add(user);
      await untilAlive(scene, id);
      const direct = postgres(database.url, { max: 1 });
      const logins = dovecot.logins(user).length;
      await network.refuse();
      await wait(2 * BOUND_MS);
      await dovecot.deliver(user, mailTo(user, 'while it was away'));
      const backAt = new Date();
      await network.pass();
      await until(
        async () => (await direct`SELECT FROM messages WHERE subject = 'while it was away'`).length === 1,
        30_000,
        () => 'the mail has not come',
      );
      await untilAlive(scene, id, backAt);
      await scene.untilEvents(id, 0);
      await scene.untilState(id, 'idle');
      assert.equal(dovecot.logins(user).length, logins, 'its session went on');
      await direct.end();
    } finally {
      await network[Symbol.asyncDispose]();
      await database.drop();
    }
  });

  test('that cuts off the workers alone is told by others, and over when they are back', async () => {
    await using scene = await open({ imap: false, outageAfterMs: BOUND_MS });
    const network = await startTcpProxy(scene.service.databaseUrl);
    const user = 'cut-off@example.com';
    const worker = await startTestService({
      ...OFTEN,
      imap: true,
      databaseUrl: network.url,
      storeDeadlineMs: 1500,
      outageAfterMs: LONG_BOUND_MS,
    });
    try {
      const id = await scene.add(user);
      await scene.untilState(id, 'idle');
      await untilAlive(scene, id);
      await scene.untilEvents(id, 0);
      await network.refuse();
      // What a minute does: the lease of who is cut off ends.
      await scene.sql`UPDATE sources SET lease_until = now() WHERE id = ${id.slice(4)}`;
      await scene.untilEvents(id, 1);
      assert.deepEqual((await scene.events(id))[0]?.type, 'source.silent');
      await network.pass();
      await scene.untilEvents(id, 2);
      assert.deepEqual((await scene.events(id))[1]?.type, 'source.recovered');
      // Nothing has happened to its session meanwhile: it idles as before.
      await scene.untilState(id, 'idle');
      assert.equal((await scene.read(id)).reason, null);
    } finally {
      await network.pass();
      await worker.stop();
      await network[Symbol.asyncDispose]();
    }
  });
});
