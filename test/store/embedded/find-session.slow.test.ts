import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chown, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { chooseFreePort } from '../../../src/store/embedded/choose-port.ts';
import { createPlace, kill, type Place, query } from '../../support/embedded-place.ts';

/*
 * After a power cut or in a restarted container, postmaster.pid may name a process that has nothing to do
 * with us. PostgreSQL itself refuses to start while one of its own user has that id.
 */

test('starts over a postmaster.pid that names a foreign process, and does not signal that one', async () => {
  await using place = await createPlace();
  await (await place.open()).stop();
  const foreigner = await startForeigner(place);
  await using _ = { [Symbol.asyncDispose]: () => kill(foreigner) };
  assert.ok(foreigner.pid);
  await writePostmasterFile(place, foreigner.pid, await chooseFreePort());

  await using database = await place.open();
  assert.equal((await query(database.url, 'select 1')).length, 1);
  assert.notEqual(await place.postmasterPid(), foreigner.pid);
  await database.stop();
  assert.equal(foreigner.exitCode ?? foreigner.signalCode, null);
});

for (const text of ['', '4711'])
  test(`starts over a postmaster.pid that a power cut left as ${JSON.stringify(text)}`, async () => {
    await using place = await createPlace();
    await (await place.open()).stop();
    await writeFile(join(place.data, 'postmaster.pid'), text);
    await using database = await place.open();
    assert.equal((await query(database.url, 'select 1')).length, 1);
  });

test('refuses the server of another directory, named by a copied postmaster.pid, and does not signal it', async () => {
  await using original = await createPlace();
  await using running = await original.open();
  // A copy of a live directory has its password and its postmaster.pid too.
  await using copy = await createPlace();
  await promisify(execFile)('cp', ['-Rp', original.directory, copy.directory]);
  await assert.rejects(copy.open(), {
    code: 'embedded_database',
    message: new RegExp(`a PostgreSQL that serves ${original.data}.*delete ${copy.data}/postmaster.pid`),
  });
  assert.equal((await query(running.url, 'select 1')).length, 1);
});

test('refuses a server that does not take the password, and names the file to look at', async () => {
  await using other = await createPlace();
  await using running = await other.open();
  await using place = await createPlace();
  await (await place.open()).stop();
  const otherPid = await other.postmasterPid();
  await writePostmasterFile(place, otherPid, Number(new URL(running.url).port));
  await assert.rejects(place.open(), {
    code: 'embedded_database',
    message: /password authentication failed.*delete /,
  });
  assert.equal((await query(running.url, 'select 1')).length, 1);
});

/** A process of the user that the place's server runs as. */
async function startForeigner(place: Place): Promise<ChildProcess> {
  const { uid, gid } = await stat(place.data);
  const foreigner = spawn('sleep', ['600'], process.getuid?.() === 0 ? { uid, gid } : {});
  await once(foreigner, 'spawn');
  return foreigner;
}

/** What a killed server leaves behind. */
async function writePostmasterFile(place: Place, pid: number, port: number): Promise<void> {
  const lines = [
    pid,
    place.data,
    1_795_170_084,
    port,
    '',
    '127.0.0.1',
    '  2146386         8',
    'ready   ',
    '',
  ];
  const path = join(place.data, 'postmaster.pid');
  await writeFile(path, lines.join('\n'), { mode: 0o600 });
  const { uid, gid } = await stat(place.data);
  await chown(path, uid, gid);
}
