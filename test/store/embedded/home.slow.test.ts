import assert from 'node:assert/strict';
import { chmod, lchown, lstat, mkdir, readdir, readlink, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { placeBinaries } from '../../../src/store/embedded/binaries.ts';
import { findPostgresUser } from '../../../src/store/embedded/user.ts';
import { createPlace, query } from '../../support/embedded-place.ts';

/* PostgreSQL refuses root, so for root it runs as a system user, who may not get everywhere. */
describe('as root', { skip: process.getuid?.() !== 0 }, () => {
  test('runs the server as a system user', async () => {
    await using place = await createPlace();
    await using _ = await place.open();
    const user = await findPostgresUser(undefined);
    assert.notEqual(user.uid, 0);
    assert.equal((await stat(`/proc/${await place.postmasterPid()}`)).uid, user.uid);
    assert.deepEqual(place.log, [`creating the embedded database in ${place.directory} (once)`]);
  });

  test('goes elsewhere, and says where, when that user cannot pass a parent; and finds it again', async () => {
    await using place = await createPlace();
    const closed = join(place.root, 'closed');
    const directory = join(closed, 'postgres');
    await mkdir(closed, { mode: 0o700 });
    await using database = await place.open('own', { directory });
    await query(database.url, 'create table kept as select 42 as answer');
    await database.stop();
    assert.match(
      place.log[0] ?? '',
      /cannot reach .*\/closed\/postgres: the database is in .*\/system\/[0-9a-f]{12}$/,
    );
    assert.deepEqual(await readdir(closed), []);

    // Opened afterwards, the parent does not make the data look lost.
    await chmod(closed, 0o711);
    await using again = await place.open('own', { directory });
    assert.deepEqual([...(await query(again.url, 'select answer from kept'))], [{ answer: 42 }]);
  });

  test('does not start empty elsewhere when the way to an existing database is closed', async () => {
    await using place = await createPlace();
    const parent = join(place.root, 'parent');
    const directory = join(parent, 'postgres');
    await mkdir(parent, { mode: 0o711 });
    await (await place.open('own', { directory })).stop();
    await chmod(parent, 0o700);
    const message = new RegExp(`cannot reach ${directory}: run "chmod o\\+x ${parent}"`);
    await assert.rejects(place.open('own', { directory }), { code: 'embedded_database', message });
  });

  test('says what to open when the user can get nowhere', async () => {
    await using place = await createPlace();
    const closed = join(place.root, 'closed');
    await mkdir(closed, { mode: 0o700 });
    const options = { directory: join(closed, 'postgres'), systemDirectory: join(closed, 'system') };
    await assert.rejects(place.open('own', options), {
      message: /cannot reach .* or .*: run "chmod o\+x .*closed"/,
    });
  });

  test('leaves a cluster to the user who made it, and hands over one that root owns', async () => {
    await using place = await createPlace();
    await (await place.open()).stop();
    for (const [owner, expected] of [
      [12_345, 12_345],
      [0, (await findPostgresUser(undefined)).uid],
    ] as const) {
      for (const entry of await readdir(place.data, { recursive: true }))
        await lchown(join(place.data, entry), owner, owner);
      await lchown(place.data, owner, owner);
      await using database = await place.open();
      assert.equal((await query(database.url, 'select 1')).length, 1);
      assert.equal((await stat(place.data)).uid, expected);
    }
  });

  test('runs a copy of the binaries when those of the package are out of reach', async () => {
    await using place = await createPlace();
    const source = join(place.root, 'closed');
    await mkdir(join(source, 'bin'), { recursive: true });
    await writeFile(join(source, 'bin', 'postgres'), 'the server', { mode: 0o600 });
    await symlink('postgres', join(source, 'bin', 'link'));
    const user = { name: 'nobody', uid: 65_534, gid: 65_534 };
    const system = join(place.root, 'system');

    assert.equal(await placeBinaries({ folder: source, version: '18.4' }, system, user), source);
    await chmod(source, 0o700);
    for (const _ of ['copied', 'found'])
      assert.equal(
        await placeBinaries({ folder: source, version: '18.4' }, system, user),
        join(system, 'postgresql-18.4'),
      );
    const bin = join(system, 'postgresql-18.4', 'bin');
    assert.equal((await lstat(join(bin, 'postgres'))).mode & 0o777, 0o755);
    assert.equal(await readlink(join(bin, 'link')), 'postgres');
    assert.deepEqual(await readdir(system), ['postgresql-18.4']);
  });
});
