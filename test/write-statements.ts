/*
 * npm run statements: writes down what the service asks of its database, for the test that holds newer schemas against it.
 * Run it at each release, and commit what it writes with the release. Part of the test run goes by way of a recorder, which
 * takes some minutes.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { glob } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import postgres from 'postgres';
import { version } from '../src/version.ts';
import { createTestDatabase } from './support/database.ts';
import { readJournal } from './support/older-database.ts';
import { globalSetup, globalTeardown } from './support/postgres.ts';
import { startStatementRecorder } from './support/statement-recorder.ts';
import {
  prepareStatement,
  readRequiredColumns,
  type Statement,
  writeBaseline,
} from './support/statements.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
/** What goes to the database in all its ways; tests of HTTP itself, of the database's end and of races add nothing. */
const FILES = 'test/{http,deliver,store,gmail,imap}/*.test.ts';
const LEFT_OUT =
  /-away|body-transfer|slow-clients|openapi|docs|fault-|hostile|races|statements|upgrade|migrat|embedded/;

await globalSetup();
const server = process.env.MAILGRESS_TEST_DATABASE_URL ?? '';
await using recorder = await startStatementRecorder(server, 'mailgress');

const files: string[] = [];
for await (const file of glob(FILES, { cwd: root })) if (!LEFT_OUT.test(file)) files.push(file);
files.sort();
const run = spawn(
  process.execPath,
  [
    '--test',
    '--test-concurrency=2',
    '--test-timeout=300000',
    '--test-reporter=dot',
    '--test-global-setup=test/support/postgres.ts',
    ...files,
  ],
  { cwd: root, stdio: 'inherit', env: { ...process.env, MAILGRESS_TEST_DATABASE_URL: recorder.url } },
);
const [code] = await once(run, 'exit');
if (code !== 0) process.stderr.write('Some tests failed; what they would have asked may be missing.\n');

const database = await createTestDatabase();
const sql = postgres(database.url, { max: 1, onnotice: () => {} });
const statements: Statement[] = [];
for (const [text, oids] of [...recorder.statements].sort(([a], [b]) => (a < b ? -1 : 1))) {
  // What is no query has no columns: LISTEN, and the like.
  if (!/^\s*(SELECT|WITH|INSERT|UPDATE|DELETE)\b/i.test(text)) continue;
  const parameters: string[] = [];
  for (const oid of oids) {
    const [row] =
      await sql`SELECT CASE WHEN ${oid}::int = 0 THEN 'unknown' ELSE format_type(${oid}::int, NULL) END AS name`;
    parameters.push(row?.name);
  }
  try {
    statements.push({ text, parameters, results: await prepareStatement(sql, { text, parameters }) });
  } catch {
    // Of a test that has the schema changed under the service.
    process.stderr.write(`left out: ${text.trim().slice(0, 80)}\n`);
  }
}
const migration = (await readJournal()).at(-1)?.tag ?? '';
await writeBaseline({ version, migration, required: await readRequiredColumns(sql), statements });
process.stdout.write(`${statements.length} statements of ${version}, schema ${migration}\n`);
await sql.end();
await database.drop();
await globalTeardown();
