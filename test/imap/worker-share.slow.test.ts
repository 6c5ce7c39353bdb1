import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { startDovecot } from '../support/imap/dovecot.ts';
import { startScriptedServer } from '../support/imap/scripted-server.ts';
import { mailTo, until } from './stage.ts';
import { openWorkerScene, type WorkerScene } from './workers.ts';

const dovecot = await startDovecot();
after(() => dovecot.stop());

const SOURCES = 12;
/** As promised, and as much again for a machine with other work. */
const WITHIN_MS = 60_000;
const STOP_WITHIN_MS = 10_000;

async function addMany(scene: WorkerScene, count: number, prefix: string): Promise<string[]> {
  const users = Array.from({ length: count }, (_, index) => `${prefix}-${index}@example.com`);
  for (const user of users) await scene.addSource(user);
  return users;
}

/** Each of them has one connection, whoever has it. */
async function untilOnceConnected(users: readonly string[]): Promise<void> {
  const others = () => users.filter((user) => dovecot.connections(user).length !== 1);
  await until(
    () => others().length === 0,
    20_000,
    () => `not connected once: ${others()}`,
  );
}

const secondsSince = (fromMs: number) => `${((performance.now() - fromMs) / 1000).toFixed(1)} s`;

describe('workers on one database', () => {
  test('share the sources evenly, and take over from those that end and those that die', async (t) => {
    await using scene = await openWorkerScene(dovecot);
    const users = await addMany(scene, SOURCES, 'shared');
    const first = scene.startWorker();
    await scene.untilShared([12], WITHIN_MS);

    let fromMs = performance.now();
    const second = scene.startWorker();
    await scene.untilShared([6, 6], WITHIN_MS);
    t.diagnostic(`shared by two after ${secondsSince(fromMs)}`);
    fromMs = performance.now();
    scene.startWorker();
    await scene.untilShared([4, 4, 4], WITHIN_MS);
    t.diagnostic(`shared by three after ${secondsSince(fromMs)}`);
    await untilOnceConnected(users);

    // In order: the others have them within seconds.
    fromMs = performance.now();
    first.kill('SIGTERM');
    const { code, stderr } = await first.ended;
    const tookMs = performance.now() - fromMs;
    t.diagnostic(`ended after ${secondsSince(fromMs)}`);
    assert.equal(code, 0, stderr);
    assert.ok(tookMs < STOP_WITHIN_MS, `it took ${tookMs} ms`);
    await scene.untilShared([6, 6], WITHIN_MS);
    t.diagnostic(`all held by the other two after ${secondsSince(fromMs)}`);

    // Killed: when its leases have ended. What comes meanwhile waits on the server.
    fromMs = performance.now();
    second.kill('SIGKILL');
    await second.ended;
    for (const user of users) await dovecot.deliver(user, mailTo(user, `to ${user}`));
    await scene.untilShared([12], WITHIN_MS);
    t.diagnostic(`those of the dead held by the other after ${secondsSince(fromMs)}`);
    await until(
      async () => {
        const [row] =
          await scene.sql`SELECT count(*)::int AS count FROM messages WHERE subject LIKE 'to shared%'`;
        return row?.count === SOURCES;
      },
      20_000,
      () => 'mail is missing',
    );
    await untilOnceConnected(users);
  });
});

describe('a worker that is told to stop', () => {
  test('ends IDLE with DONE, says LOGOUT, and gives everything back', async () => {
    const said: string[] = [];
    await using server = await startScriptedServer();
    server.handlers.IDLE = async (_command, session) => {
      said.push(await session.ask('+ idling'));
      return '$tag OK done idling';
    };
    await using scene = await openWorkerScene(dovecot);
    const user = 'stopping@example.com';
    const auth = { type: 'password', user: 'scripted', password: 'any' };
    const ids = [
      await scene.addSource(user),
      await scene.addSource('scripted@example.com', {
        ...{ host: server.host, port: server.port, security: 'none', auth, folders: [{ path: 'INBOX' }] },
      }),
    ];
    const worker = scene.startWorker();
    await scene.untilShared([2], 30_000);
    await server.heard(/IDLE/);
    worker.kill('SIGTERM');
    const { code, stdout, stderr } = await worker.ended;
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^Mailgress \S+ reads sources of kind imap\n$/);
    assert.deepEqual(said, ['DONE']);
    assert.match(server.commands.at(-1) ?? '', /LOGOUT/);
    const ofUser = dovecot
      .logs()
      .split('\n')
      .filter((line) => line.includes(`imap(${user})`));
    assert.match(ofUser.at(-1) ?? '', /Logged out/);
    assert.deepEqual(await scene.holders(), new Map([['', ids.toSorted()]]));
    for (const id of ids) {
      const { state, reason, leaseHolder } = await scene.read(id);
      assert.deepEqual([state, reason, leaseHolder], ['disconnected', null, null]);
    }
    const [row] = await scene.sql`SELECT count(*)::int AS count FROM workers`;
    assert.equal(row?.count, 0);
  });

  test('does so within 10 s too while a server does not answer', async (t) => {
    await using server = await startScriptedServer();
    await using scene = await openWorkerScene(dovecot);
    const auth = { type: 'password', user: 'mute', password: 'any' };
    const id = await scene.addSource('mute@example.com', {
      ...{ host: server.host, port: server.port, security: 'none', auth, folders: [{ path: 'INBOX' }] },
    });
    server.handlers.LOGOUT = () => undefined;
    server.handlers.IDLE = async (_command, session) => {
      await session.ask('+ idling');
      return undefined;
    };
    const worker = scene.startWorker();
    await scene.untilState(id, 'idle');
    await until(
      () => server.commands.filter((command) => command.includes('IDLE')).length > 0,
      20_000,
      () => 'it does not idle',
    );
    const fromMs = performance.now();
    worker.kill('SIGTERM');
    const { code, stderr } = await worker.ended;
    assert.equal(code, 0, stderr);
    t.diagnostic(`ended after ${secondsSince(fromMs)}`);
    assert.ok(performance.now() - fromMs < STOP_WITHIN_MS);
    assert.equal((await scene.read(id)).leaseHolder, null);
  });
});

describe('a worker of one source', () => {
  test('reads it alone, and the others share the rest as if it were not there', async () => {
    await using scene = await openWorkerScene(dovecot);
    await addMany(scene, 3, 'rest');
    const id = await scene.addSource('alone@example.com');
    const alone = scene.startWorker(['--source', id]);
    await scene.untilState(id, 'idle');
    assert.equal([...(await scene.holders())].find(([holder]) => holder !== '')?.[1].join(), id);
    scene.startWorker();
    await scene.untilShared([1, 3], WITHIN_MS);
    alone.kill('SIGTERM');
    await alone.ended;
    await scene.untilShared([4], WITHIN_MS);
  });

  test('that is full takes no more, and another has the rest', async () => {
    await using scene = await openWorkerScene(dovecot);
    await addMany(scene, 5, 'full');
    scene.startWorker(['--capacity', '2']);
    await scene.untilShared([2], WITHIN_MS);
    scene.startWorker(['--capacity', '2']);
    await scene.untilShared([2, 2], WITHIN_MS);
    scene.startWorker(['--capacity', '2']);
    await scene.untilShared([1, 2, 2], WITHIN_MS);
  });
});
