import { randomBytes } from 'node:crypto';
import postgres from 'postgres';

export const TEMPLATE = 'mailgress_test_template';

export function withDatabase(url: string, name: string): string {
  const changed = new URL(url);
  changed.pathname = `/${name}`;
  return changed.href;
}

/** A fresh database on the test server; `migrated: false` gives an empty one. Dropped by `drop`, connections and all. */
export async function createTestDatabase({ migrated = true } = {}): Promise<{
  url: string;
  drop(): Promise<void>;
}> {
  const server = process.env.MAILGRESS_TEST_DATABASE_URL;
  if (server === undefined)
    throw new Error('run the tests with `npm test`, which starts a PostgreSQL for them');
  const name = `mailgress_test_${randomBytes(6).toString('hex')}`;
  const admin = async (statement: string) => {
    const sql = postgres(server, { max: 1, onnotice: () => {} });
    await sql.unsafe(statement);
    await sql.end();
  };
  await admin(migrated ? `CREATE DATABASE ${name} TEMPLATE ${TEMPLATE}` : `CREATE DATABASE ${name}`);
  return {
    url: withDatabase(server, name),
    drop: () => admin(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`),
  };
}
