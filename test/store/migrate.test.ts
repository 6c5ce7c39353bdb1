import assert from 'node:assert/strict';
import { test } from 'node:test';
import postgres from 'postgres';
import { migrateDatabase, readSchemaState } from '../../src/store/migrate.ts';
import { createTestDatabase } from '../support/database.ts';

test('an empty database is behind, a migrated one current; again and at once is harmless', async () => {
  const { url, drop } = await createTestDatabase({ migrated: false });
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  const before = await readSchemaState(sql);
  assert.equal(before.state, 'behind');
  await Promise.all([migrateDatabase(url), migrateDatabase(url), migrateDatabase(url), migrateDatabase(url)]);
  await migrateDatabase(url);
  assert.deepEqual(await readSchemaState(sql), { state: 'current' });
  const [applied] = await sql`SELECT count(*)::int AS n FROM drizzle.__drizzle_migrations`;
  assert.equal(applied?.n, before.state === 'behind' ? before.missing : -1);
  await sql.end();
  await drop();
});

test('a database that a newer version has migrated is ahead', async () => {
  const { url, drop } = await createTestDatabase();
  const sql = postgres(url, { max: 1 });
  await sql`INSERT INTO drizzle.__drizzle_migrations (hash, created_at) VALUES ('of the future', 99999999999999)`;
  assert.deepEqual(await readSchemaState(sql), { state: 'ahead' });
  await sql.end();
  await drop();
});

test('makes UUIDv7 ids of the time in SQL', async () => {
  const { url, drop } = await createTestDatabase();
  const sql = postgres(url, { max: 1 });
  const [row] =
    await sql`SELECT mailgress_uuidv7()::text AS id, extract(epoch FROM clock_timestamp()) * 1000 AS now`;
  assert.match(row?.id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  const madeMs = Number.parseInt(row?.id.replace('-', '').slice(0, 12), 16);
  assert.ok(Math.abs(madeMs - Number(row?.now)) < 10_000);
  await sql.end();
  await drop();
});
