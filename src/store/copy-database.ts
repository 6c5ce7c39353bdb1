import { pipeline } from 'node:stream/promises';
import { setTimeout as wait } from 'node:timers/promises';
import postgres, { type Sql, type TransactionSql } from 'postgres';
import { MailgressError } from '../core/errors.ts';
import { APPLICATION_NAME } from './database.ts';
import { readFeedBase, writeFeedBase } from './feed-places.ts';
import { migrateDatabase, readSchemaState } from './migrate.ts';
import { countConnections } from './server-facts.ts';

/** A table, and those that its rows refer to. */
type Table = { name: string; columns: string[]; needs: string[] };

/**
 * Copies all that is in one database into another, empty one, which is migrated first. The source is read as it is at one moment,
 * and left as it is; the target has all of it or nothing. Whatever the source takes in meanwhile is not copied: stop what writes
 * there. The log goes on in the other cluster by itself (`feed-places.ts`).
 *
 * @param onTable called after each table.
 * @param options.force although a Mailgress is connected to one of them.
 * @throws MailgressError `already_running` while one is, `database_behind` for a source of another schema, `conflict` for a
 * target that is in use.
 */
export async function copyDatabase(
  fromUrl: string,
  toUrl: string,
  onTable: (table: string, rows: number) => void,
  { force = false }: { force?: boolean | undefined } = {},
): Promise<void> {
  // Each is one connection for one transaction, which fails as a whole when it ends.
  const open = (url: string) => postgres(url, { max: 1, fetch_types: false, onnotice: () => {} });
  const from = open(fromUrl);
  const to = open(toUrl);
  try {
    if ((await nameOf(from)) === (await nameOf(to))) {
      throw new MailgressError('conflict', 'Source and target are one database: name another one');
    }
    if (!force) {
      await expectNobody(from, namesOf(fromUrl), 'to copy');
      await expectNobody(to, namesOf(toUrl), 'to copy into');
    }
    // Before it is migrated: a wrong URL may be that of a service.
    if (await isInUse(to)) throw inUse();
    await migrateDatabase(toUrl);
    if ((await readSchemaState(from)).state !== 'current') {
      throw new MailgressError(
        'database_behind',
        'The database to copy is of another version than this Mailgress: run `mailgress migrate` on it first',
      );
    }
    await from.begin('isolation level repeatable read read only', (source) =>
      to.begin((target) => copyTables(source, target, onTable)),
    );
  } finally {
    await Promise.all([from.end({ timeout: 5 }), to.end({ timeout: 5 })]);
  }
}

async function copyTables(
  source: TransactionSql,
  target: TransactionSql,
  onTable: (table: string, rows: number) => void,
): Promise<void> {
  const tables = inOrder(await listTables(target));
  const names = tables.map(({ name }) => `"${name}"`).join(', ');
  await target.unsafe(`LOCK TABLE ${names} IN ACCESS EXCLUSIVE MODE`);
  if (await isInUse(target)) throw inUse();
  // What a migration puts into a table would come twice.
  await target.unsafe(`TRUNCATE ${names}`);
  for (const { name, columns } of tables) {
    const what = `"${name}" (${columns.map((column) => `"${column}"`).join(', ')})`;
    await pipeline(
      await source.unsafe(`COPY ${what} TO STDOUT`).readable(),
      await target.unsafe(`COPY ${what} FROM STDIN`).writable(),
    );
    const [had, has] = [await countRows(source, name), await countRows(target, name)];
    if (had !== has) throw new Error(`${has} of ${had} rows of ${name} were copied`);
    onTable(name, has);
  }
  await writeFeedBase(target, await readFeedBase(source));
}

/** A database by its cluster and its name there, whichever way it is reached. */
async function nameOf(sql: Sql): Promise<string> {
  const [row] = await sql<[{ name: string }]>`
    SELECT system_identifier || ' ' || current_database() AS name FROM pg_control_system()`;
  return row.name;
}

/** A service that has just ended is still listed for a moment. */
const PARTING_MS = 3000;
const PARTING_LOOK_MS = 100;

/** The names that connections of services have: a URL may give them one of its own. */
function namesOf(url: string): string[] {
  const own = URL.parse(url)?.searchParams.get('application_name');
  return own ? [APPLICATION_NAME, own] : [APPLICATION_NAME];
}

/** @throws MailgressError `already_running` while there are connections of services. */
async function expectNobody(sql: Sql, names: readonly string[], which: string): Promise<void> {
  const untilMs = performance.now() + PARTING_MS;
  for (;;) {
    const connections = await countConnections(sql, names);
    if (connections === 0) return;
    if (performance.now() >= untilMs) {
      throw new MailgressError(
        'already_running',
        `Mailgress runs on the database ${which} (${connections} connections): stop each \`serve\`, \`worker\` and \`all\` there first, since what they take in meanwhile is not copied; or say --force`,
      );
    }
    await wait(PARTING_LOOK_MS);
  }
}

async function isInUse(sql: Sql | TransactionSql): Promise<boolean> {
  const [table] = await sql<[{ isThere: boolean }]>`SELECT to_regclass('api_keys') IS NOT NULL AS "isThere"`;
  if (!table.isThere) return false;
  const [row] = await sql<[{ isUsed: boolean }]>`
    SELECT EXISTS (SELECT FROM mailboxes) OR EXISTS (SELECT FROM events) OR EXISTS (SELECT FROM endpoints)
        OR EXISTS (SELECT FROM api_keys) AS "isUsed"`;
  return row.isUsed;
}

const inUse = () =>
  new MailgressError('conflict', 'The database to copy into is in use: it has to be an empty one');

async function listTables(sql: TransactionSql): Promise<Table[]> {
  return sql<Table[]>`
    SELECT relname AS name,
           to_json(ARRAY(
             SELECT attname::text FROM pg_attribute
             WHERE attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum
           )) AS columns,
           to_json(ARRAY(
             SELECT needed.relname::text FROM pg_constraint JOIN pg_class needed ON needed.oid = confrelid
             WHERE conrelid = pg_class.oid AND contype = 'f' AND confrelid <> conrelid
           )) AS needs
    FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY relname`;
}

/** Each behind those that it needs. */
function inOrder(tables: readonly Table[]): Table[] {
  const ordered: Table[] = [];
  const isThere = (name: string) => ordered.some((table) => table.name === name);
  while (ordered.length < tables.length) {
    const ready = tables.filter(({ name, needs }) => !isThere(name) && needs.every(isThere));
    if (ready.length === 0) throw new Error('tables refer to one another in a circle');
    ordered.push(...ready);
  }
  return ordered;
}

async function countRows(sql: TransactionSql, table: string): Promise<number> {
  const [row] = await sql.unsafe<[{ count: number }]>(`SELECT count(*)::float8 AS count FROM "${table}"`);
  return row.count;
}
