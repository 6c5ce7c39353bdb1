import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { type Dovecot, startDovecot } from '../support/imap/dovecot.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';
import { mailTo, serverOf, until } from './stage.ts';
import { openWorkerScene, type WorkerScene } from './workers.ts';

const dovecot = await startDovecot();
after(() => dovecot.stop());

const sessionsOf = (server: Dovecot, users: readonly string[]) =>
  users.flatMap((user) => server.connections(user).map(({ session }) => session)).sort();

async function untilStored({ sql }: WorkerScene, subjects: readonly string[]): Promise<void> {
  let found: string[] = [];
  await until(
    async () => {
      const rows = await sql<{ subject: string }[]>`SELECT subject FROM messages ORDER BY subject`;
      found = rows.map(({ subject }) => subject);
      return found.length >= subjects.length;
    },
    60_000,
    () => `stored are ${found}, not ${subjects}`,
  );
  assert.deepEqual(found, subjects.toSorted());
}

/** Its leases have run out, as they do while nobody renews them. */
async function runOut({ sql }: WorkerScene): Promise<void> {
  await sql`UPDATE sources SET lease_until = now() - interval '1 second' WHERE lease_until IS NOT NULL`;
}

describe('a database that is away for a while', () => {
  for (const how of ['refuse', 'vanish', 'hangUp'] as const)
    test(`(${how}) ends no session; what arrives meanwhile comes afterwards, and nothing twice`, async () => {
      await using scene = await openWorkerScene(dovecot);
      await using network = await startTcpProxy(scene.service.databaseUrl);
      const users = [1, 2, 3].map((n) => `${how.toLowerCase()}-${n}@example.com`);
      for (const user of users) await scene.addSource(user);
      scene.startWorker([], network.url);
      await scene.untilShared([3], 30_000);
      const sessions = sessionsOf(dovecot, users);
      assert.equal(sessions.length, 3);

      await network[how]();
      const subjects: string[] = [];
      for (const [at, user] of users.entries()) {
        for (const n of [1, 2]) {
          subjects.push(`${how} ${at} ${n}`);
          await dovecot.deliver(user, mailTo(user, `${how} ${at} ${n}`));
        }
      }
      // Long enough for tries that fail.
      await wait(5000);
      await network.pass();
      if (how === 'vanish') network.cut();
      await untilStored(scene, subjects);
      await scene.untilShared([3], 30_000);
      assert.deepEqual(sessionsOf(dovecot, users), sessions);
    });

  test('for longer than a lease leaves the sessions to who has them, if nobody took them', async () => {
    await using scene = await openWorkerScene(dovecot);
    await using network = await startTcpProxy(scene.service.databaseUrl);
    const users = [1, 2].map((n) => `outlasted-${n}@example.com`);
    const ids: string[] = [];
    for (const user of users) ids.push(await scene.addSource(user));
    // One that is never reached, so that the worker has room for more than it holds.
    const nobody = await scene.addSource('nowhere@example.com', serverOf(dovecot, 'nowhere@example.com'));
    await scene.sql`UPDATE sources SET settings = settings || '{"port":1}' WHERE id = ${nobody.slice(4)}`;
    const worker = scene.startWorker([], network.url);
    await scene.untilState(nobody, 'backoff');
    for (const id of ids) await scene.untilState(id, 'idle');
    const sessions = sessionsOf(dovecot, users);
    await network.refuse();
    await worker.says('could not renew leases');
    await wait(15_000);
    await runOut(scene);
    await network.pass();
    await until(
      async () => (await scene.holders()).size > 1,
      60_000,
      () => 'the leases are not renewed',
    );
    for (const user of users) await dovecot.deliver(user, mailTo(user, `to ${user}`));
    await untilStored(
      scene,
      users.map((user) => `to ${user}`),
    );
    assert.deepEqual(sessionsOf(dovecot, users), sessions);
  });

  test('for one of two workers: the other takes over, and the first lets go', async () => {
    await using scene = await openWorkerScene(dovecot);
    await using network = await startTcpProxy(scene.service.databaseUrl);
    const users = [1, 2, 3, 4].map((n) => `parted-${n}@example.com`);
    for (const user of users) await scene.addSource(user);
    const parted = scene.startWorker([], network.url);
    scene.startWorker();
    await scene.untilShared([2, 2], 60_000);
    await network.refuse();
    await parted.says('could not renew leases');
    await runOut(scene);
    await scene.untilShared([4], 60_000);
    for (const user of users) await dovecot.deliver(user, mailTo(user, `first to ${user}`));
    await untilStored(
      scene,
      users.map((user) => `first to ${user}`),
    );
    await network.pass();
    await scene.untilShared([2, 2], 60_000);
    await until(
      () => users.every((user) => dovecot.connections(user).length === 1),
      60_000,
      () => 'some are connected more than once',
    );
    for (const user of users) await dovecot.deliver(user, mailTo(user, `second to ${user}`));
    await untilStored(
      scene,
      users.flatMap((user) => [`first to ${user}`, `second to ${user}`]),
    );
  });
});
