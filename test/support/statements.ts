import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { Sql } from 'postgres';

/*
 * The statements of the last release, as test/fixtures/statements.sql has them: while it is upgraded, they run on the schema
 * of the next one.
 */

export const statementsFile = fileURLToPath(new URL('../fixtures/statements.sql', import.meta.url));

/** `parameters` and `results` are names of types; of a parameter `unknown` where the server is to find out. */
export type Statement = { text: string; parameters: string[]; results: string[] };

export type Baseline = {
  version: string;
  /** The last migration that the release knew. */
  migration: string;
  /** `table.column` of what a row cannot do without: not null, and no default. */
  required: string[];
  statements: Statement[];
};

const MARK = '\n--> ';

export async function readBaseline(): Promise<Baseline> {
  const [head = '', ...parts] = (await readFile(statementsFile, 'utf8')).split(MARK);
  const field = (name: string) => RegExp(`^-- ${name}: (.*)$`, 'm').exec(head)?.[1] ?? '';
  return {
    version: field('version'),
    migration: field('migration'),
    required: field('required').split(' '),
    statements: parts.map((part) => {
      const at = part.indexOf('\n');
      const [parameters = '', results = ''] = part.slice(0, at).split(' | ');
      const list = (text: string) => text.split(',').filter((name) => name !== '' && name !== '-');
      return { text: part.slice(at + 1).trimEnd(), parameters: list(parameters), results: list(results) };
    }),
  };
}

export async function writeBaseline({ version, migration, required, statements }: Baseline): Promise<void> {
  const list = (names: string[]) => names.join(',') || '-';
  const head = [
    '-- What the service asks of its database. Written by `npm run statements`, at each release; held against newer schemas by',
    '-- test/store/upgrade.test.ts. Before each statement: the types of its parameters, and of what it answers.',
    `-- version: ${version}`,
    `-- migration: ${migration}`,
    `-- required: ${required.join(' ')}`,
  ].join('\n');
  const parts = statements.map(
    ({ text, parameters, results }) => `${MARK}${list(parameters)} | ${list(results)}\n${text}\n`,
  );
  await writeFile(statementsFile, `${head}\n${parts.join('')}`);
}

/**
 * Has the database look at a statement, without running it.
 *
 * @returns the types of what it would answer.
 * @throws what is wrong with it: a column or function that is not there, types that do not fit.
 */
export async function prepareStatement(
  sql: Sql,
  { text, parameters }: Pick<Statement, 'text' | 'parameters'>,
): Promise<string[]> {
  const types = parameters.length > 0 ? `(${parameters.join(', ')})` : '';
  await sql.unsafe(`PREPARE statement ${types} AS ${text}`);
  // PostgreSQL 16 or later tells.
  const [row] = await sql.unsafe(
    `SELECT result_types::text[] AS types FROM pg_prepared_statements WHERE name = 'statement'`,
  );
  await sql.unsafe('DEALLOCATE statement');
  return row?.types ?? [];
}

export async function readRequiredColumns(sql: Sql): Promise<string[]> {
  const rows = await sql`
    SELECT table_name || '.' || column_name AS name FROM information_schema.columns
    WHERE table_schema = 'public' AND is_nullable = 'NO' AND column_default IS NULL
    ORDER BY 1`;
  return rows.map(({ name }) => name);
}
