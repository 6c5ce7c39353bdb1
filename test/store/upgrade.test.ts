import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import postgres, { type Sql } from 'postgres';
import { createTestDatabase } from '../support/database.ts';
import { lintMigration } from '../support/lint-migration.ts';
import { readJournal, readMigration } from '../support/older-database.ts';
import { type Baseline, prepareStatement, readBaseline, readRequiredColumns } from '../support/statements.ts';

/*
 * While a service is upgraded, processes of the last release run on the schema of the next: migrations come first, replicas are
 * changed one after the other, and a release can be taken back. So whatever the last one asks must go on to work. What it asks
 * stands in test/fixtures/statements.sql; `npm run statements` renews that, at each release and not before.
 */

let baseline: Baseline;
let database: Awaited<ReturnType<typeof createTestDatabase>>;
let sql: Sql;
before(async () => {
  baseline = await readBaseline();
  database = await createTestDatabase();
  sql = postgres(database.url, { max: 1, onnotice: () => {} });
});
after(async () => {
  await sql.end();
  await database.drop();
});

test('every statement of the last release has its tables, columns, functions and types in this schema', async () => {
  assert.ok(baseline.statements.length > 100, 'the hot path and the API are there');
  for (const part of [
    'INSERT INTO dedupe_ledger',
    'FOR UPDATE',
    'UPDATE deliveries',
    'mailgress_delete_mailbox',
  ])
    assert.ok(
      baseline.statements.some(({ text }) => text.includes(part)),
      part,
    );
  const faults: string[] = [];
  for (const statement of baseline.statements) {
    try {
      const results = await prepareStatement(sql, statement);
      // A column that is another type comes as another type to the code: a number as a string.
      if (results.length > 0 && statement.results.length > 0 && `${results}` !== `${statement.results}`)
        faults.push(`answers ${results} instead of ${statement.results}: ${statement.text.slice(0, 300)}`);
    } catch (error) {
      faults.push(`${error}: ${statement.text.slice(0, 300)}`);
    }
  }
  assert.deepEqual(faults, []);
  const gone = { text: 'SELECT no_such_column FROM messages', parameters: [] };
  await assert.rejects(prepareStatement(sql, gone), /no_such_column/, 'and it would be seen if not');
});

test('a row that the last release writes lacks nothing that this schema requires', async () => {
  const tables = new Set(baseline.required.map((name) => name.split('.')[0]));
  const added = (await readRequiredColumns(sql)).filter(
    (name) => tables.has(name.split('.')[0]) && !baseline.required.includes(name),
  );
  assert.deepEqual(added, [], 'not null, without a default, and unknown to the last release');
});

/** Steps of migrations that look dangerous, and why they are not. A step is written in two releases otherwise. */
const KNOWN: { migration: string; step: RegExp; because: string }[] = [
  {
    migration: '0009_search',
    step: /^CREATE INDEX "(events_tenant_feed|messages_tenant)"/,
    because: 'nothing was released before it, so that no store is large yet',
  },
];

test('no migration since the last release does in one step what takes two', async () => {
  const journal = await readJournal();
  const at = journal.findIndex(({ tag }) => tag === baseline.migration);
  assert.notEqual(at, -1, `the migration ${baseline.migration} of the last release is still there`);
  const faults: string[] = [];
  for (const { tag } of journal.slice(at + 1)) {
    for (const { step, why } of lintMigration(await readMigration(tag))) {
      const isKnown = KNOWN.some((one) => one.migration === tag && one.step.test(step));
      if (!isKnown) faults.push(`${tag}: ${step}: ${why}`);
    }
  }
  assert.deepEqual(faults, [], 'mend it, or say in KNOWN why it does no harm');
});
