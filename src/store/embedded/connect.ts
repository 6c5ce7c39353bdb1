import { readFile, realpath } from 'node:fs/promises';
import postgres from 'postgres';
import { describeError, MailgressError } from '../../core/errors.ts';
import { adviceFor } from './advice.ts';
import type { EmbeddedHome } from './home.ts';
import { postmasterFilePath } from './postmaster-file.ts';

/** A connection to the server of a home: proof that it is ours and, while it lasts, of who owns it. */
export type Session = {
  url: string;
  port: number;
  /** The postmaster's process id in the server's own words: may be signalled while the session is open. */
  pid: number;
  /** Whether this session holds the owner's lock. */
  holdsLock: boolean;
  /** Resolves when the connection is gone, for whatever reason. */
  closed: Promise<void>;
  end(): Promise<void>;
};

export type ConnectOutcome =
  | { kind: 'session'; session: Session }
  /** A server is there that does not let us in for the moment: it starts, stops or recovers. */
  | { kind: 'busy'; reason: string }
  /** Nothing listens. */
  | { kind: 'silent' };

/** "mailgres" in ASCII: the key of the owner's advisory lock. */
const OWNER_LOCK_KEY = '7881696737188013427';
const PATIENCE_MS = 10_000;

/**
 * A session with the server on `port` if it is that of `home`: it takes our password and serves this very
 * directory. The session takes the owner's lock if that is free.
 *
 * @throws MailgressError `embedded_database` when something else answers, or the password cannot be read.
 */
export async function connect(home: EmbeddedHome, port: number): Promise<ConnectOutcome> {
  const password = await readPassword(home);
  const { promise: closed, resolve: onclose } = Promise.withResolvers<void>();
  const sql = postgres({
    host: '127.0.0.1',
    port,
    username: 'mailgress',
    password,
    database: 'mailgress',
    connection: { application_name: 'mailgress owner' },
    ssl: false,
    // One connection that is never let go, as the lock goes with it (the driver's own limit is 30 to 60 min).
    max: 1,
    max_lifetime: null,
    idle_timeout: 0,
    fetch_types: false,
    onnotice: () => {},
    onclose: () => onclose(),
  });
  const end = () => sql.end({ timeout: 0 });
  // The driver dials without end when connections are cut before they are let in; `end` rejects its queries.
  const patience = setTimeout(end, PATIENCE_MS);
  try {
    const pid = await identify(sql, home, port);
    const [lock] = await sql<[{ taken: boolean }]>`
      select pg_try_advisory_lock(${OWNER_LOCK_KEY}::bigint) as taken`;
    const url = `postgres://mailgress:${password}@127.0.0.1:${port}/mailgress`;
    return { kind: 'session', session: { url, port, pid, holdsLock: lock.taken, closed, end } };
  } catch (error) {
    await end();
    return classifyRefusal(home, port, error);
  } finally {
    clearTimeout(patience);
  }
}

/** The postmaster's pid, once the server has proved that it serves `home`. */
async function identify(sql: postgres.Sql, home: EmbeddedHome, port: number): Promise<number> {
  // The server reads the file relative to the directory it serves: the pid is its own word, not our guess.
  const [server] = await sql<[{ directory: string; pid: number }]>`
    select current_setting('data_directory') as directory,
           split_part(pg_read_file('postmaster.pid'), E'\\n', 1)::int as pid`;
  // A copy of a live directory has the password and the postmaster.pid of the original.
  const served = await realpath(server.directory).catch(() => undefined);
  if (served !== (await realpath(home.data)))
    throw strangerError(home, port, `is a PostgreSQL that serves ${server.directory}`);
  return server.pid;
}

async function readPassword(home: EmbeddedHome): Promise<string> {
  try {
    const password = (await readFile(home.passwordFile, 'utf8')).trim();
    if (password !== '') return password;
    throw new Error('the file is empty');
  } catch (error) {
    const reason = describeError(error);
    throw new MailgressError(
      'embedded_database',
      `the password of the database in ${home.data} cannot be read from ${home.passwordFile}: ${reason}.` +
        (adviceFor(reason) || ' Put the file back from a backup'),
      { cause: error },
    );
  }
}

/** SQLSTATE codes, the system's and the driver's, of a server that starts, stops, recovers or is full. */
const BUSY_CODES = new Set([
  '57P01', // admin_shutdown
  '57P02', // crash_shutdown
  '57P03', // cannot_connect_now
  '53300', // too_many_connections
  'ECONNRESET',
  'EPIPE',
  'CONNECTION_CLOSED',
  'CONNECT_TIMEOUT',
]);

function classifyRefusal(home: EmbeddedHome, port: number, error: unknown): ConnectOutcome {
  if (error instanceof MailgressError || !(error instanceof Error)) throw error;
  const code = 'code' in error ? String(error.code) : '';
  if (code === 'ECONNREFUSED') return { kind: 'silent' };
  if (code === 'CONNECTION_DESTROYED')
    return { kind: 'busy', reason: `no PostgreSQL answers on port ${port}` };
  if (BUSY_CODES.has(code)) return { kind: 'busy', reason: error.message };
  throw strangerError(home, port, `answers "${error.message}"`, error);
}

function strangerError(home: EmbeddedHome, port: number, finding: string, cause?: unknown): MailgressError {
  const file = postmasterFilePath(home.data);
  return new MailgressError(
    'embedded_database',
    `${file} names port ${port} of 127.0.0.1, but what listens there ${finding}: it is not the server of this ` +
      `directory, or ${home.passwordFile} has been changed. Make sure that no postgres process uses ` +
      `${home.data}, delete ${file} and start again`,
    { cause },
  );
}
