import assert from 'node:assert/strict';
import { once } from 'node:events';
import { access } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import postgres from 'postgres';
import { chooseFreePort } from '../../src/store/embedded/choose-port.ts';
import { isAlive } from '../../src/store/embedded/postmaster-file.ts';
import { createPlace, type Place, query, waitUntil } from '../support/embedded-place.ts';

/** One cluster for all tests, each of which begins and ends with no server running. */
let place: Place;
before(async () => {
  place = await createPlace();
  await (await place.open()).stop();
});
beforeEach(() => place.log.splice(0));
after(() => place[Symbol.asyncDispose]());

describe('openEmbedded', () => {
  test('keeps what was stored over a stop, and starts again within three seconds', async (t) => {
    await using first = await place.open();
    await query(first.url, 'create table if not exists kept as select 42 as answer');
    await first.stop();

    const startedMs = performance.now();
    await using second = await place.open();
    const tookMs = Math.round(performance.now() - startedMs);
    t.diagnostic(`started in ${tookMs} ms`);
    assert.ok(tookMs < 3_000, `${tookMs} ms`);
    assert.deepEqual([...(await query(second.url, 'select answer from kept'))], [{ answer: 42 }]);
  });

  test('leaves no process and no postmaster.pid after stop, which may be called twice', async () => {
    await using database = await place.open();
    const pid = await place.postmasterPid();
    await Promise.all([database.stop(), database.stop()]);
    await waitUntil('the server has ended', () => !isAlive(pid));
    await assert.rejects(access(join(place.data, 'postmaster.pid')), { code: 'ENOENT' });
    assert.deepEqual(place.log, []);
  });

  test('is durable, UTF-8, without a socket file and closed to other addresses', async () => {
    await using database = await place.open();
    const rows = await query(
      database.url,
      `select name, setting from pg_settings where name in ('fsync', 'synchronous_commit', 'listen_addresses',
         'unix_socket_directories', 'server_encoding', 'shared_preload_libraries') order by name`,
    );
    assert.deepEqual(Object.fromEntries(rows.map((row) => [row.name, row.setting])), {
      fsync: 'on',
      listen_addresses: '127.0.0.1',
      server_encoding: 'UTF8',
      shared_preload_libraries: 'pg_stat_statements',
      synchronous_commit: 'on',
      unix_socket_directories: '',
    });
    await assert.rejects(query(database.url.replace(/:\w+@/, ':wrong@'), 'select 1'), { code: '28P01' });
  });

  test('takes another port when the first one gets busy before PostgreSQL binds it', async () => {
    const squatter = createServer().listen(0, '127.0.0.1');
    await once(squatter, 'listening');
    const address = squatter.address();
    assert.ok(address && typeof address === 'object');
    const ports = [address.port, await chooseFreePort()];
    await using database = await place.open('own', {
      choosePort: async () => ports.shift() ?? chooseFreePort(),
    });
    squatter.close();
    assert.notEqual(new URL(database.url).port, String(address.port));
    assert.equal((await query(database.url, 'select 1')).length, 1);
  });
});

describe('a second process', () => {
  test('is refused as an owner and welcome to join; its stop leaves the server running', async () => {
    await using owner = await place.open();
    await assert.rejects(place.open('own'), { name: 'MailgressError', code: 'already_running' });

    await using joined = await place.open('join');
    assert.equal(joined.owned, false);
    assert.equal(joined.url, owner.url);
    await joined.stop();
    assert.equal((await query(owner.url, 'select 1')).length, 1);
  });

  test('that would join a stopped database starts it, owns it and stops it', async () => {
    await using database = await place.open('join');
    assert.equal(database.owned, true);
    const pid = await place.postmasterPid();
    await database.stop();
    await waitUntil('the server has ended', () => !isAlive(pid));
  });

  for (const mode of ['own', 'join'] as const)
    test(`started at the same moment (${mode}): of four one owns the only server`, async () => {
      const results = await Promise.allSettled(Array.from({ length: 4 }, () => place.open(mode)));
      const opened = results.filter((result) => result.status === 'fulfilled').map(({ value }) => value);
      const refused = results
        .filter((result) => result.status === 'rejected')
        .map(({ reason }) => reason.code);
      assert.equal(opened.filter(({ owned }) => owned).length, 1);
      assert.deepEqual(refused, mode === 'own' ? Array(3).fill('already_running') : []);
      await using stack = new AsyncDisposableStack();
      for (const database of opened) stack.use(database);
      for (const { url } of opened) assert.equal((await query(url, 'select 1')).length, 1);
    });
});

describe('an owner that is killed', () => {
  test('leaves its server to the next start, which adopts it and owns it', async () => {
    await using owner = place.startOwner();
    await owner.opened();
    const pid = await place.postmasterPid();
    await owner.kill();
    assert.ok(isAlive(pid));

    await using database = await place.open();
    assert.equal(database.owned, true);
    assert.equal(await place.postmasterPid(), pid);
    assert.match(place.log.join('\n'), /took over PostgreSQL/);
    await assert.rejects(place.open('own'), { code: 'already_running' });

    await database.stop();
    await assert.rejects(query(database.url, 'select 1'), { code: 'ECONNREFUSED' });
  });

  test('by Ctrl-C to its whole process group does not take the server along', async () => {
    await using owner = place.startOwner();
    await owner.opened();
    const pid = await place.postmasterPid();
    assert.ok(owner.child.pid);
    process.kill(-owner.child.pid, 'SIGINT');
    await once(owner.child, 'exit');
    await using database = await place.open();
    assert.equal(await place.postmasterPid(), pid);
    assert.equal((await query(database.url, 'select 1')).length, 1);
  });

  test('together with its server leaves a postmaster.pid that is in nobody’s way', async () => {
    await using owner = place.startOwner();
    await owner.opened();
    const pid = await place.postmasterPid();
    await owner.kill();
    process.kill(pid, 'SIGKILL');
    await using database = await place.open();
    assert.notEqual(await place.postmasterPid(), pid);
    assert.equal((await query(database.url, 'select 1')).length, 1);
  });
});

describe('a server that is killed under its owner', () => {
  test('comes back by itself under the same URL, with its data and its lock', async () => {
    await using database = await place.open();
    const pool = postgres(database.url, { max: 4, onnotice: () => {}, backoff: () => 0.05 });
    await using _ = { [Symbol.asyncDispose]: () => pool.end({ timeout: 5 }) };
    await pool`create table if not exists kept as select 42 as answer`;

    for (const round of [1, 2]) {
      const pid = await place.postmasterPid();
      process.kill(pid, 'SIGKILL');
      await waitUntil('the pool answers again', () =>
        pool`select answer from kept`.then(
          (rows) => rows[0]?.answer === 42,
          () => false,
        ),
      );
      const back = () => place.log.filter((line) => line.includes('is back on port')).length;
      await waitUntil('the owner says so', () => back() === round);
      assert.notEqual(await place.postmasterPid(), pid);
    }
    await assert.rejects(place.open('own'), { code: 'already_running' });
  });

  test('only in one backend, the owner’s, recovers and is held again without a new server', async () => {
    await using database = await place.open();
    const pid = await place.postmasterPid();
    const [backend] = await query(
      database.url,
      "select pid from pg_stat_activity where application_name = 'mailgress owner'",
    );
    process.kill(backend?.pid, 'SIGKILL');
    await waitUntil('it is back', () => place.log.some((line) => line.includes('is back on port')));
    assert.equal(await place.postmasterPid(), pid);
    await assert.rejects(place.open('own'), { code: 'already_running' });
  });

  test('while it is being stopped stays down', async () => {
    await using database = await place.open();
    process.kill(await place.postmasterPid(), 'SIGKILL');
    await database.stop();
    const pid = await place.postmasterPid().catch(() => undefined);
    if (pid) await waitUntil('nothing runs', () => !isAlive(pid));
  });
});
