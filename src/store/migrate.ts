import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type MigrationMeta, readMigrationFiles } from 'drizzle-orm/migrator';
import postgres, { type Sql } from 'postgres';
import { MailgressError } from '../core/errors.ts';
import { isConflict, sqlStateOf } from './unavailable.ts';

const migrationsFolder = fileURLToPath(new URL('../../drizzle', import.meta.url));

/** "mg/migra" in ASCII: the lock that migrating processes share. */
const MIGRATION_LOCK = '7883321819701670497';

export type SchemaState =
  | { state: 'current' }
  /** The code knows migrations that the database has not had. */
  | { state: 'behind'; missing: number }
  /** A newer version has migrated it. Migrations stay compatible with the version before. */
  | { state: 'ahead' };

export type MigrationWaits = {
  /** Of the tables' locks, in one go: so long what comes after the migration waits behind it, ingest among it. */
  lockMs: number;
  /** Between two tries, in which whoever waited goes on. */
  pauseMs: number;
  /** In all. */
  patienceMs: number;
};

const WAITS: MigrationWaits = { lockMs: 2000, pauseMs: 1000, patienceMs: 15 * 60_000 };

/**
 * Brings the schema to the code's version, in one transaction. Any number of processes may call it at once: one
 * works, the others wait and find nothing to do.
 *
 * A migration needs tables for itself. While it waits for someone who reads one for long (a backup, a report), all who come
 * after wait behind it; so it waits shortly, steps back, and tries again.
 *
 * @param say told once each time that it begins to wait.
 * @throws MailgressError `database_behind` when the tables were never free.
 */
export async function migrateDatabase(
  url: string,
  say: (message: string) => void = () => {},
  waits: Partial<MigrationWaits> = {},
): Promise<void> {
  const { lockMs, pauseMs, patienceMs } = { ...WAITS, ...waits };
  const endsMs = performance.now() + patienceMs;
  // Without asking for types: see `arrayTypes`.
  const sql = postgres(url, { max: 1, fetch_types: false, onnotice: () => {} });
  try {
    for (let tries = 1; ; tries++) {
      const outcome = await applyMissing(sql, await readLastMigration(sql), lockMs);
      if (outcome === 'done') return;
      if (outcome === 'other_migrated') continue;
      if (performance.now() > endsMs) throw tablesInUse(patienceMs);
      if (tries === 1) say('the migration waits for tables that others use; it steps back and tries again');
      await wait(pauseMs);
    }
  } finally {
    await sql.end({ timeout: 5 });
  }
}

/**
 * Waits while another process migrates, until the schema is the code's.
 *
 * @param say told once, when it begins to wait.
 * @returns how the schema stands in the end: `behind` when nobody has migrated it for `graceMs`, or not in `patienceMs`.
 */
export async function waitForMigration(
  sql: Sql,
  say: (message: string) => void,
  // The pause of a migration between two tries is shorter.
  { graceMs = 4000, pollMs = 250, patienceMs = WAITS.patienceMs } = {},
): Promise<SchemaState> {
  const endsMs = performance.now() + patienceMs;
  let seenAtMs = performance.now();
  let isTold = false;
  for (;;) {
    const schema = await readSchemaState(sql);
    const now = performance.now();
    if (schema.state !== 'behind') return schema;
    if (await isMigrating(sql)) {
      seenAtMs = now;
      if (!isTold) say('another process migrates the database; waiting for it');
      isTold = true;
    }
    if (now - seenAtMs > graceMs || now > endsMs) return schema;
    await wait(pollMs);
  }
}

/** Whether a process holds the lock of migrations, or waits for it, in this database. */
async function isMigrating(sql: Sql): Promise<boolean> {
  // PostgreSQL shows the two halves of the lock's number.
  const [row] = await sql`
    SELECT EXISTS (
      SELECT FROM pg_locks
      WHERE locktype = 'advisory' AND objsubid = 1
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND (classid::bigint << 32) | objid::bigint = ${MIGRATION_LOCK}::bigint
    ) AS "isMigrating"`;
  return row?.isMigrating === true;
}

function tablesInUse(patienceMs: number): MailgressError {
  return new MailgressError(
    'database_behind',
    `The migration could not have its tables for ${Math.round(patienceMs / 1000)} s, since others use them: look for long ` +
      'transactions in pg_stat_activity, end them and migrate again',
  );
}

/**
 * One message, which PostgreSQL executes as one transaction: it is done or not, whenever the connection ends. The
 * driver's `begin`, and drizzle's migrator with it, would not survive that end (porsager/postgres #1154). Unlike a
 * session's lock this one works through a transaction pooler.
 *
 * @returns `other_migrated` if another process was first, so that `last` is the last no more; `tables_in_use` if nothing was
 * done because of others.
 */
async function applyMissing(
  sql: Sql,
  last: number,
  lockMs: number,
): Promise<'done' | 'other_migrated' | 'tables_in_use'> {
  const missing = readMigrations().filter(({ folderMillis }) => folderMillis > last);
  if (missing.length === 0) return 'done';
  const statements = [
    ENDED_WITH_ITS_CLIENT,
    // Another that migrates may take its time.
    `SELECT set_config('lock_timeout', '0', true)`,
    `SELECT pg_advisory_xact_lock(${MIGRATION_LOCK})`,
    `SELECT set_config('lock_timeout', '${lockMs}', true)`,
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
    return 'done';
  } catch (error) {
    const code = sqlStateOf(error);
    if (code === OTHER_MIGRATED) return 'other_migrated';
    // Or a deadlock with someone who took the tables in another order.
    if (code === LOCK_NOT_AVAILABLE || isConflict(error)) return 'tables_in_use';
    throw error;
  }
}

/**
 * PostgreSQL would go on for a client that is gone, wait for the lock, and migrate when nobody expects it any more. Windows
 * has no such check (22023): there it goes on.
 */
const ENDED_WITH_ITS_CLIENT = `DO $$ BEGIN
  PERFORM set_config('client_connection_check_interval', '500ms', true);
EXCEPTION WHEN invalid_parameter_value THEN NULL;
END $$`;

/** A code of ours: classes that begin with M are nobody's. */
const OTHER_MIGRATED = 'MG001';
/** What PostgreSQL says when `lock_timeout` is over. */
const LOCK_NOT_AVAILABLE = '55P03';

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
