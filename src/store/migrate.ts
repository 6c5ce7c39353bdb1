import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { readMigrationFiles } from 'drizzle-orm/migrator';
import postgres, { type Sql } from 'postgres';

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
  const { drizzle, applyMigrations } = loadDrizzle();
  const sql = postgres(url, { max: 2, onnotice: () => {} });
  try {
    // drizzle migrates without a lock. A transaction that holds nothing but the lock keeps others out, and unlike a
    // session's lock it works through a transaction pooler.
    await sql.begin(async (lock) => {
      await lock`SELECT pg_advisory_xact_lock(${MIGRATION_LOCK}::bigint)`;
      await applyMigrations(drizzle(sql), { migrationsFolder });
    });
  } finally {
    await sql.end({ timeout: 5 });
  }
}

/** The times by which drizzle knows the code's migrations; read once. */
let known: number[] | undefined;

/**
 * When it is needed, and by require: for each of the 200 files that drizzle is as ES modules, Node 24 reads its
 * package.json of 179 kB again, which takes half a second and leaves 200 MB of heap behind.
 */
function loadDrizzle() {
  const require = createRequire(import.meta.url);
  const { drizzle } = require('drizzle-orm/postgres-js') as typeof import('drizzle-orm/postgres-js');
  const { migrate } =
    require('drizzle-orm/postgres-js/migrator') as typeof import('drizzle-orm/postgres-js/migrator');
  return { drizzle, applyMigrations: migrate };
}

/** How the database's schema stands to the code's. */
export async function readSchemaState(sql: Sql): Promise<SchemaState> {
  known ??= readMigrationFiles({ migrationsFolder }).map((migration) => migration.folderMillis);
  const [table] = await sql`SELECT to_regclass('drizzle.__drizzle_migrations') IS NOT NULL AS "isThere"`;
  if (!table?.isThere) return { state: 'behind', missing: known.length };
  const [row] =
    await sql`SELECT coalesce(max(created_at), 0)::text AS last FROM drizzle.__drizzle_migrations`;
  const last = Number(row?.last);
  const missing = known.filter((at) => at > last).length;
  if (missing > 0) return { state: 'behind', missing };
  return last > Math.max(...known) ? { state: 'ahead' } : { state: 'current' };
}
