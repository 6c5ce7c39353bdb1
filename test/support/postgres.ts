import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import postgres from 'postgres';
import { openEmbedded } from '../../src/store/embedded.ts';
import { migrateDatabase } from '../../src/store/migrate.ts';
import { TEMPLATE, withDatabase } from './database.ts';
import { installDovecot } from './imap/install.ts';

/*
 * What a test run stands on: Dovecot, found or installed once for all files, and one PostgreSQL for the whole run, and in it a
 * migrated template that each test file copies (see `createTestDatabase`). MAILGRESS_TEST_DATABASE_URL names another server to
 * test against, as a superuser; its databases mailgress_test_* are ours to drop.
 */

let stop = async () => {};

export async function globalSetup(): Promise<void> {
  await installDovecot();
  if (process.env.MAILGRESS_TEST_DATABASE_URL === undefined) {
    const directory = await mkdtemp(join(tmpdir(), 'mailgress-test-'));
    // As root PostgreSQL runs as a system user, who has to pass.
    await chmod(directory, 0o711);
    const embedded = await openEmbedded({
      directory: join(directory, 'postgres'),
      mode: 'own',
      log: () => {},
    });
    process.env.MAILGRESS_TEST_DATABASE_URL = embedded.url;
    stop = async () => {
      await embedded.stop();
      await rm(directory, { recursive: true, force: true });
    };
  }
  const url = process.env.MAILGRESS_TEST_DATABASE_URL;
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  await sql.unsafe(`DROP DATABASE IF EXISTS ${TEMPLATE}`);
  await sql.unsafe(`CREATE DATABASE ${TEMPLATE}`);
  await sql.end();
  await migrateDatabase(withDatabase(url, TEMPLATE));
}

export async function globalTeardown(): Promise<void> {
  await stop();
}
