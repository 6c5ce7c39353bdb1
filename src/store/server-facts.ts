import type { Sql } from 'postgres';
import { openDatabase } from './database.ts';
import { readTableNames } from './migrate.ts';

/** What a server says of itself. */
export type ServerFacts = {
  /** 15 for 15.4. */
  major: number;
  version: string;
  /** A standby, or one that is set to take no writes. */
  isReadOnly: boolean;
  now: Date;
};

export async function readServerFacts(sql: Sql): Promise<ServerFacts> {
  const [row] = await sql<[ServerFacts]>`
    SELECT current_setting('server_version_num')::int / 10000 AS major, current_setting('server_version') AS version,
           pg_is_in_recovery() OR current_setting('default_transaction_read_only')::boolean AS "isReadOnly",
           clock_timestamp() AS now`;
  return row;
}

/**
 * The rights that our role lacks to run the service, as GRANT would name them: `INSERT on table messages`. Empty where
 * there are no tables yet.
 */
export async function findMissingRights(sql: Sql): Promise<string[]> {
  const tables = readTableNames();
  // By oid: asked by name, a schema that may not be used would be an error.
  const rows = await sql<{ lacking: string }[]>`
    WITH home AS (
      SELECT relnamespace AS schema FROM pg_class WHERE relname = 'dedupe_ledger' AND relkind IN ('r', 'p')
      ORDER BY pg_table_is_visible(oid) DESC LIMIT 1
    ), lacking AS (
      SELECT 1 AS place, 'USAGE on schema ' || nspname AS lacking
      FROM home JOIN pg_namespace ON pg_namespace.oid = schema
      WHERE NOT has_schema_privilege(pg_namespace.oid, 'USAGE')
      UNION ALL
      SELECT 2, string_agg(privilege, ', ' ORDER BY place) || ' on table ' || relname
      FROM home JOIN pg_class ON relnamespace = schema AND relkind IN ('r', 'p') AND relname = ANY (${tables}::text[]),
        unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) WITH ORDINALITY AS needed (privilege, place)
      WHERE NOT has_table_privilege(pg_class.oid, privilege)
      GROUP BY relname
      UNION ALL
      SELECT 3, 'EXECUTE on function ' || proname
      FROM home JOIN pg_proc ON pronamespace = schema AND starts_with(proname, 'mailgress_')
      WHERE NOT has_function_privilege(pg_proc.oid, 'EXECUTE')
      UNION ALL
      SELECT 4, 'USAGE on schema drizzle' FROM pg_namespace
      WHERE nspname = 'drizzle' AND NOT has_schema_privilege(oid, 'USAGE')
      UNION ALL
      SELECT 5, 'SELECT on table drizzle.' || relname
      FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
      WHERE nspname = 'drizzle' AND relname = '__drizzle_migrations' AND NOT has_table_privilege(pg_class.oid, 'SELECT')
    )
    SELECT lacking FROM lacking ORDER BY place, lacking`;
  return rows.map(({ lacking }) => lacking);
}

/**
 * Whether a NOTIFY of one connection reaches another that listens. It does not through a pooler in transaction mode: the
 * server's connection that was told to listen is another client's by then.
 *
 * @param patienceMs how long it is waited for.
 */
export async function hearsNotify(url: string, channel: string, patienceMs: number): Promise<boolean> {
  const database = openDatabase(url);
  let timer: NodeJS.Timeout | undefined;
  try {
    return await new Promise<boolean>((resolve, reject) => {
      let isListening = false;
      const noConnection = new Error('no connection to listen on: it may have too many');
      timer = setTimeout(() => (isListening ? resolve(false) : reject(noConnection)), patienceMs);
      database.listen(channel, () => {
        // The first call says that it listens, the next one is a word that came.
        if (isListening) return resolve(true);
        isListening = true;
        database.hot.notify(channel, '').catch(reject);
      });
    });
  } finally {
    clearTimeout(timer);
    await database.close();
  }
}

/** How many other connections to this database have one of these as their `application_name`. Every role sees them. */
export async function countConnections(sql: Sql, names: readonly string[]): Promise<number> {
  const [row] = await sql<[{ count: number }]>`
    SELECT count(*)::int AS count FROM pg_stat_activity
    WHERE datname = current_database() AND application_name IN ${sql([...names])} AND pid <> pg_backend_pid()`;
  return row.count;
}
