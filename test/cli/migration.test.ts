import assert from 'node:assert/strict';
import { test } from 'node:test';
import postgres, { type Sql } from 'postgres';
import { readSchemaState } from '../../src/store/migrate.ts';
import { waitUntil } from '../support/embedded-place.ts';
import { createOlderDatabase } from '../support/older-database.ts';
import { startMailgress } from '../support/process.ts';
import { ADMIN_TOKEN, SECRET_KEY } from '../support/service.ts';

/* Upgrades with processes as they are started: on a database that an older version left, with a reader that holds a migration up. */

type Stage = { env: Record<string, string>; sql: Sql; reader: Sql; dispose(): Promise<void> };

async function prepare(): Promise<Stage> {
  const database = await createOlderDatabase('0005_consumers');
  const [sql, reader] = [1, 2].map(() => postgres(database.url, { max: 1, onnotice: () => {} })) as [
    Sql,
    Sql,
  ];
  await reader.unsafe('BEGIN; SELECT count(*) FROM gaps').simple();
  const env = {
    DATABASE_URL: database.url,
    MAILGRESS_ADMIN_TOKEN: ADMIN_TOKEN,
    MAILGRESS_SECRET_KEY: SECRET_KEY,
  };
  return {
    env,
    sql,
    reader,
    async dispose() {
      await Promise.all([sql.end(), reader.end()]);
      await database.drop();
    },
  };
}

/** A migration has its first tables and waits for one that is read. */
const migrationWaits = (sql: Sql) =>
  waitUntil('the migration waits for a table', async () => {
    const [row] = await sql`SELECT count(*)::int AS n FROM pg_locks
      WHERE NOT granted AND locktype = 'relation' AND relation = 'gaps'::regclass`;
    return row?.n > 0;
  });

test('serve waits for a migration that runs, says so, and then listens', async () => {
  const { env, sql, reader, dispose } = await prepare();
  try {
    await using migrate = startMailgress(['migrate'], env);
    await migrationWaits(sql);
    await using serve = startMailgress(['serve'], env);
    await serve.says('another process migrates the database');
    await migrate.says('steps back');
    await reader`COMMIT`;
    const { code, stderr } = await migrate.ended;
    assert.equal(code, 0, stderr);
    assert.equal((await fetch(`${await serve.ready()}/readyz`)).status, 200);
  } finally {
    await dispose();
  }
});

test('two serve --migrate at once, and a worker beside them, come up on one schema', async () => {
  const { env, sql, reader, dispose } = await prepare();
  try {
    await using one = startMailgress(['serve', '--migrate'], env);
    await using other = startMailgress(['serve', '--migrate'], env);
    await using worker = startMailgress(['worker'], env);
    await migrationWaits(sql);
    await worker.says('another process migrates the database');
    await reader`COMMIT`;
    for (const service of [one, other])
      assert.equal((await fetch(`${await service.ready()}/readyz`)).status, 200);
    await worker.prints('reads sources');
    const [row] = await sql`SELECT count(*)::int AS n, count(DISTINCT created_at)::int AS kinds
      FROM drizzle.__drizzle_migrations`;
    assert.equal(row?.n, row?.kinds);
  } finally {
    await dispose();
  }
});

test('migrate killed half way leaves the schema as it was, and the next one brings it up', async () => {
  const { env, sql, reader, dispose } = await prepare();
  try {
    const before = await readSchemaState(sql);
    {
      await using killed = startMailgress(['migrate'], env);
      await migrationWaits(sql);
      killed.kill('SIGKILL');
      await killed.ended;
    }
    // PostgreSQL sees at the end of the wait for the table that nobody is there.
    await waitUntil('its tables are free', async () => {
      const [row] = await sql`SELECT count(*)::int AS n FROM pg_locks
        WHERE relation = 'deliveries'::regclass AND mode = 'AccessExclusiveLock'`;
      return row?.n === 0;
    });
    assert.deepEqual(await readSchemaState(sql), before);
    const columns = await sql`SELECT 1 FROM information_schema.columns
      WHERE table_name = 'deliveries' AND column_name = 'ignores_rules'`;
    assert.equal(columns.length, 0, 'nothing of 0006 is there');

    await reader`COMMIT`;
    await using next = startMailgress(['migrate'], env);
    assert.equal((await next.ended).code, 0);
    assert.deepEqual(await readSchemaState(sql), { state: 'current' });
  } finally {
    await dispose();
  }
});
