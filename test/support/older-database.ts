import { readFile } from 'node:fs/promises';
import postgres from 'postgres';
import { createTestDatabase } from './database.ts';

const drizzle = new URL('../../drizzle/', import.meta.url);

/** The code's migrations in their order, as drizzle names and dates them. */
export async function readJournal(): Promise<{ tag: string; when: number }[]> {
  return JSON.parse(await readFile(new URL('meta/_journal.json', drizzle), 'utf8')).entries;
}

export const readMigration = (tag: string) => readFile(new URL(`${tag}.sql`, drizzle), 'utf8');

/** A database as an older version left it: migrated up to this one. */
export async function createOlderDatabase(last: string): ReturnType<typeof createTestDatabase> {
  const database = await createTestDatabase({ migrated: false });
  const sql = postgres(database.url, { max: 1, onnotice: () => {} });
  await sql.unsafe(`CREATE SCHEMA drizzle; CREATE TABLE drizzle.__drizzle_migrations
    (id SERIAL PRIMARY KEY, hash text NOT NULL, created_at bigint)`);
  for (const { tag, when } of await readJournal()) {
    await sql.unsafe(await readMigration(tag));
    await sql`INSERT INTO drizzle.__drizzle_migrations (hash, created_at) VALUES (${tag}, ${when})`;
    if (tag === last) break;
  }
  await sql.end();
  return database;
}
