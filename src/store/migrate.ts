import { fileURLToPath } from 'node:url';
import { type MigrationMeta, readMigrationFiles } from 'drizzle-orm/migrator';
import postgres, { type Sql } from 'postgres';
import { sqlStateOf } from './unavailable.ts';

const migrationsFolder = fileURLToPath(new URL('../../drizzle', import.meta.url));

/** "mg/migra" in ASCII: the lock that migrating processes share. */
const MIGRATION_LOCK = '7883321819701670497';

export type SchemaState =
  | { state: 'current' }
  /** The code knows migrations that the database has not had. */
  | { state: 'behind'; missing: number }
  /** A newer version has migrated it. Migrations stay compatible with the version before. */
  | { state: 'ahead' };

/**
 * Brings the schema to the code's version, in one transaction. Any number of processes may call it at once: one
 * works, the others wait and find nothing to do.
 */
export async function migrateDatabase(url: string): Promise<void> {
  // Without asking for types: see `arrayTypes`.
  const sql = postgres(url, { max: 1, fetch_types: false, onnotice: () => {} });
  try {
    for (let isDone = false; !isDone; ) isDone = await applyMissing(sql, await readLastMigration(sql));
  } finally {
    await sql.end({ timeout: 5 });
  }
}

/**
 * One message, which PostgreSQL executes as one transaction: it is done or not, whenever the connection ends. The
 * driver's `begin`, and drizzle's migrator with it, would not survive that end (porsager/postgres #1154). Unlike a
 * session's lock this one works through a transaction pooler.
 *
 * @returns false if another process was first, so that `last` is the last no more.
 */
async function applyMissing(sql: Sql, last: number): Promise<boolean> {
  const missing = readMigrations().filter(({ folderMillis }) => folderMillis > last);
  if (missing.length === 0) return true;
  const statements = [
    `SELECT pg_advisory_xact_lock(${MIGRATION_LOCK})`,
    // drizzle's own table, for its tools.
    'CREATE SCHEMA IF NOT EXISTS drizzle',
    `CREATE TABLE IF NOT EXISTS drizzle.__drizzle_migrations
       (id SERIAL PRIMARY KEY, hash text NOT NULL, created_at bigint)`,
    `DO $$ BEGIN
       IF (SELECT coalesce(max(created_at), 0) FROM drizzle.__drizzle_migrations) <> ${last} THEN
         RAISE EXCEPTION 'another process migrated' USING ERRCODE = '${OTHER_MIGRATED}';
       END IF;
     END $$`,
    ...missing.flatMap((migration) => [
      ...migration.sql,
      `INSERT INTO drizzle.__drizzle_migrations (hash, created_at)
       VALUES ('${migration.hash}', ${migration.folderMillis})`,
    ]),
  ];
  try {
    await sql.unsafe(statements.join('\n;\n')).simple();
    return true;
  } catch (error) {
    if (sqlStateOf(error) === OTHER_MIGRATED) return false;
    throw error;
  }
}

/** A code of ours: classes that begin with M are nobody's. */
const OTHER_MIGRATED = 'MG001';

/** The time by which drizzle knows the migration that the database had last; 0 if it had none. */
async function readLastMigration(sql: Sql): Promise<number> {
  const [table] = await sql`SELECT to_regclass('drizzle.__drizzle_migrations') IS NOT NULL AS "isThere"`;
  if (!table?.isThere) return 0;
  const [row] =
    await sql`SELECT coalesce(max(created_at), 0)::text AS last FROM drizzle.__drizzle_migrations`;
  return Number(row?.last);
}

/** The code's migrations, oldest first; read once. */
let migrations: MigrationMeta[] | undefined;

function readMigrations(): MigrationMeta[] {
  migrations ??= readMigrationFiles({ migrationsFolder });
  return migrations;
}

/** How the database's schema stands to the code's. */
export async function readSchemaState(sql: Sql): Promise<SchemaState> {
  const known = readMigrations().map(({ folderMillis }) => folderMillis);
  const last = await readLastMigration(sql);
  const missing = known.filter((at) => at > last).length;
  if (missing > 0) return { state: 'behind', missing };
  return last > Math.max(...known) ? { state: 'ahead' } : { state: 'current' };
}

/** The tables that the code's migrations leave behind, drizzle's own not among them. */
export function readTableNames(): string[] {
  const names = new Set<string>();
  for (const [, verb, name = ''] of readMigrations()
    .flatMap(({ sql }) => sql)
    .join('\n')
    .matchAll(/^(CREATE|DROP) TABLE "(\w+)"/gm)) {
    if (verb === 'CREATE') names.add(name);
    else names.delete(name);
  }
  return [...names];
}
