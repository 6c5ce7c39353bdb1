import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import postgres from 'postgres';
import { migrateDatabase } from '../../src/store/migrate.ts';
import { createTestDatabase } from '../support/database.ts';
import { query, waitUntil } from '../support/embedded-place.ts';
import {
  createDataDirectory,
  type DataDirectory,
  isListening,
  type MailgressProcess,
  startMailgress,
} from '../support/process.ts';
import { ADMIN_TOKEN, SECRET_KEY } from '../support/service.ts';

/** What migrating processes share (store/migrate.ts): whoever holds it keeps a migration waiting. */
const MIGRATION_LOCK = '7883321819701670497';

const startAll = ({ path }: DataDirectory, { ownGroup = false } = {}): MailgressProcess =>
  startMailgress(['all'], { MAILGRESS_DATA_DIR: path }, { ownGroup });

/** It ended as told, in order. */
async function assertStopped(directory: DataDirectory, all: MailgressProcess): Promise<void> {
  const { code, stderr, told } = await all.ended;
  assert.equal(code, 0, stderr);
  assert.deepEqual(told, []);
  assert.equal(await directory.postmaster(), undefined, 'no postmaster.pid');
}

async function assertStarts(directory: DataDirectory): Promise<void> {
  await using all = startAll(directory);
  assert.equal((await fetch(`${await all.ready()}/readyz`)).status, 200);
  const drafts = (await readdir(directory.path)).filter((name) => name.includes('.new-'));
  assert.deepEqual(drafts, []);
  all.kill('SIGTERM');
  await assertStopped(directory, all);
}

/** Keeps migrations waiting until it is closed. */
async function holdMigrationLock(url: string): Promise<postgres.Sql> {
  const holder = postgres(url, { max: 1, onnotice: () => {} });
  await holder`SELECT pg_advisory_lock(${MIGRATION_LOCK}::bigint)`;
  return holder;
}

async function waitForMigrations(holder: postgres.Sql, count: number): Promise<void> {
  await waitUntil(`${count} wait to migrate`, async () => {
    const waiting = await holder`
      SELECT FROM pg_locks JOIN pg_database ON pg_database.oid = database
      WHERE locktype = 'advisory' AND NOT granted AND datname = current_database()`;
    return waiting.length === count;
  });
}

describe('a signal while the database is created', () => {
  test('ends the start, and the next one goes on with the directory', async () => {
    await using directory = await createDataDirectory();
    await using all = startAll(directory);
    await all.says('creating the embedded database');
    all.kill('SIGTERM');
    await assertStopped(directory, all);
    await assertStarts(directory);
  });

  test('as Ctrl-C sends it, to the programs that create it too, does the same', async () => {
    await using directory = await createDataDirectory();
    await using all = startAll(directory, { ownGroup: true });
    await all.says('creating the embedded database');
    process.kill(-all.pid, 'SIGINT');
    await assertStopped(directory, all);
    await assertStarts(directory);
  });
});

describe('a signal while an existing database', () => {
  let directory: DataDirectory;
  before(async () => {
    directory = await createDataDirectory();
    await assertStarts(directory);
  });
  after(() => directory[Symbol.asyncDispose]());

  const moments: [string, () => Promise<boolean>][] = [
    ['is started', async () => (await directory.postmaster()) !== undefined],
    [
      'is opened',
      async () => {
        const postmaster = await directory.postmaster();
        return postmaster !== undefined && isListening(postmaster.port);
      },
    ],
  ];
  for (const [name, hasCome] of moments)
    test(`${name} ends the start, the database stopped`, async () => {
      await using all = startAll(directory);
      await waitUntil(`it ${name}`, hasCome);
      all.kill('SIGTERM');
      await assertStopped(directory, all);
    });

  test('is migrated cuts that off, and stops the database', async () => {
    await using killed = startAll(directory);
    await killed.ready();
    killed.kill('SIGKILL');
    await killed.ended;
    // Its PostgreSQL goes on, and the next start takes it over.
    const postmaster = await directory.postmaster();
    const password = (await readFile(join(directory.path, 'postgres', 'password'), 'utf8')).trim();
    const url = `postgres://mailgress:${password}@127.0.0.1:${postmaster?.port}/mailgress`;
    await query(url, 'DROP SCHEMA drizzle CASCADE; DROP SCHEMA public CASCADE; CREATE SCHEMA public');
    const holder = await holdMigrationLock(url);
    await using all = startAll(directory);
    await waitForMigrations(holder, 1);
    all.kill('SIGTERM');
    await assertStopped(directory, all);
    await holder.end({ timeout: 0 });
    await assertStarts(directory);
  });
});

test('a signal to serve or migrate while they migrate a DATABASE_URL ends them and leaves it as it was', async () => {
  const database = await createTestDatabase({ migrated: false });
  const env = {
    DATABASE_URL: database.url,
    MAILGRESS_ADMIN_TOKEN: ADMIN_TOKEN,
    MAILGRESS_SECRET_KEY: SECRET_KEY,
  };
  try {
    const holder = await holdMigrationLock(database.url);
    await using serve = startMailgress(['serve', '--migrate'], env);
    await using migrate = startMailgress(['migrate'], env);
    await waitForMigrations(holder, 2);
    for (const one of [serve, migrate]) one.kill('SIGTERM');
    assert.equal((await serve.ended).code, 0);
    // Whoever asked for a migration must not take it for done.
    assert.equal((await migrate.ended).code, 130);
    await waitForMigrations(holder, 0);
    await holder.end();

    const tables = `SELECT FROM pg_tables WHERE schemaname IN ('public', 'drizzle')`;
    assert.equal((await query(database.url, tables)).length, 0);
    await migrateDatabase(database.url);
    assert.ok((await query(database.url, tables)).length > 5);
  } finally {
    await database.drop();
  }
});
