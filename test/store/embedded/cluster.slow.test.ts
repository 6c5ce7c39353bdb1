import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { createPlace, query, waitUntil } from '../../support/embedded-place.ts';

const drafts = async (root: string) => (await readdir(root)).filter((name) => name.includes('.new-'));

test('creates a database from nothing, its password in a file 0600', async (t) => {
  await using place = await createPlace();
  const startedMs = performance.now();
  await using database = await place.open();
  t.diagnostic(`created and started in ${Math.round(performance.now() - startedMs)} ms`);

  const passwordFile = join(place.directory, 'password');
  assert.equal((await stat(passwordFile)).mode & 0o777, 0o600);
  assert.equal((await stat(join(place.directory, 'postgres.log'))).mode & 0o777, 0o600);
  assert.equal(new URL(database.url).password, await readFile(passwordFile, 'utf8'));
  const [row] = await query(
    database.url,
    'select datlocprovider, datlocale from pg_database where datname = current_database()',
  );
  assert.deepEqual({ ...row }, { datlocprovider: 'b', datlocale: 'C.UTF-8' });
});

test('creates it anew when the run that created it was killed half way, and clears up', async () => {
  await using place = await createPlace();
  await using owner = place.startOwner();
  await waitUntil('initdb has written files', async () => {
    const [draft] = await drafts(place.root);
    return draft !== undefined && (await readdir(join(place.root, draft, 'data')).catch(() => [])).length > 0;
  });
  await owner.kill();

  await using database = await place.open();
  assert.equal((await query(database.url, 'select 1')).length, 1);
  await waitUntil('no draft is left', async () => (await drafts(place.root)).length === 0);
});

test('creates it once when several processes start on nothing', async () => {
  await using place = await createPlace();
  const databases = await Promise.all([place.open('join'), place.open('join'), place.open('join')]);
  await using stack = new AsyncDisposableStack();
  for (const database of databases) stack.use(database);
  assert.equal(databases.filter(({ owned }) => owned).length, 1);
  assert.equal(new Set(databases.map(({ url }) => url)).size, 1);
  assert.deepEqual(await drafts(place.root), []);
});

test('refuses a directory that holds something else, and leaves that alone', async () => {
  await using place = await createPlace();
  await mkdir(place.directory);
  await writeFile(join(place.directory, 'letter.txt'), 'dear');
  await assert.rejects(place.open(), {
    code: 'embedded_database',
    message: /holds files but no database: move it away/,
  });
  assert.deepEqual(await readdir(place.directory), ['letter.txt']);
  assert.deepEqual(await drafts(place.root), []);
});

test('says what is wrong with a cluster it cannot run, and recovers when that is mended', async () => {
  await using place = await createPlace();
  await (await place.open()).stop();
  const passwordFile = join(place.directory, 'password');
  const password = await readFile(passwordFile, 'utf8');
  const faults: [string, string, string, RegExp][] = [
    [
      join(place.data, 'PG_VERSION'),
      '17\n',
      '18\n',
      /is of PostgreSQL 17, this Mailgress brings PostgreSQL 18/,
    ],
    [
      join(place.data, 'postgresql.auto.conf'),
      'colour = blue\n',
      '',
      /unrecognized configuration parameter "colour"/,
    ],
    [passwordFile, '', password, /password .* cannot be read from .*: the file is empty/],
    [passwordFile, 'wrong', password, /password authentication failed/],
  ];
  for (const [file, broken, mended, message] of faults) {
    await writeFile(file, broken);
    await assert.rejects(place.open(), { code: 'embedded_database', message });
    await writeFile(file, mended);
    await (await place.open()).stop();
  }
});

test('cuts a server log that has grown over ten megabytes', async () => {
  await using place = await createPlace();
  await (await place.open()).stop();
  const log = join(place.directory, 'postgres.log');
  await truncate(log, 11 * 1024 * 1024);
  await using _ = await place.open();
  assert.ok((await stat(log)).size < 100_000);
});
