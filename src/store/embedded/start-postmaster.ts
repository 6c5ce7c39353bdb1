import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MailgressError } from '../../core/errors.ts';
import { adviceFor } from './advice.ts';
import type { EmbeddedHome } from './home.ts';
import { readPostmasterFile } from './postmaster-file.ts';
import { processOptions } from './process-options.ts';

export type StartOutcome =
  | { kind: 'ready'; pid: number }
  | {
      kind: 'failed';
      reason: 'port_taken' | 'directory_locked' | 'shared_memory' | 'other';
      /** For a person: what was tried, the end of PostgreSQL's log, what to do. */
      message: string;
    };

/** PostgreSQL's words (locale C) for the failures that pass by themselves. */
const PASSING_FAILURES = [
  { reason: 'port_taken', text: 'could not create any TCP/IP sockets' },
  { reason: 'directory_locked', text: 'lock file "postmaster.pid" already exists' },
  // The other's, which it is about to fill.
  { reason: 'directory_locked', text: 'lock file "postmaster.pid" is empty' },
  // Our own doing, see LOCK_FILE_PATIENCE_MS.
  { reason: 'directory_locked', text: 'received immediate shutdown request' },
  { reason: 'shared_memory', text: 'pre-existing shared memory block' },
] as const;

/** Crash recovery replays up to max_wal_size (1 GB) and some: tens of seconds on a slow disk. */
const READY_PATIENCE_MS = 60_000;
/**
 * A server whose postmaster.pid another starter removed in the moment it was written cannot be found by
 * anyone, and would keep all others out until it noticed, which takes it a minute.
 */
const LOCK_FILE_PATIENCE_MS = 5_000;
const READY_POLL_MS = 10;
const LOG_LIMIT_BYTES = 10 * 1024 * 1024;

/**
 * Starts the server of `home` on 127.0.0.1:`port` and waits until it accepts connections. It runs in a
 * session of its own, writes to the log file and does not end with us.
 *
 * @throws MailgressError `embedded_database` when it is still recovering after a minute; it is left at it,
 *   for the next start to find.
 */
export async function startPostmaster(home: EmbeddedHome, port: number): Promise<StartOutcome> {
  await using logFile = await open(home.logFile, 'a+', 0o600);
  if ((await logFile.stat()).size > LOG_LIMIT_BYTES) await logFile.truncate();
  const logStart = (await logFile.stat()).size;

  const child = spawn(join(home.postgres, 'bin', 'postgres'), serverArguments(home, port), {
    ...processOptions(home.user, home.directory),
    detached: true,
    stdio: ['ignore', logFile.fd, logFile.fd],
  });
  child.unref();
  let spawnError: Error | undefined;
  child.once('error', (error) => {
    spawnError = error;
  });

  const startedMs = performance.now();
  let ownFileSeenMs = startedMs;
  while (child.exitCode === null && child.signalCode === null && !spawnError) {
    const file = await readPostmasterFile(home.data);
    const nowMs = performance.now();
    if (child.pid !== undefined && file?.pid === child.pid) {
      if (file.isReady) return { kind: 'ready', pid: child.pid };
      ownFileSeenMs = nowMs;
    }
    // Our own child, so the pid cannot be another's.
    if (nowMs - ownFileSeenMs > LOCK_FILE_PATIENCE_MS) child.kill('SIGQUIT');
    if (nowMs - startedMs > READY_PATIENCE_MS)
      throw new MailgressError(
        'embedded_database',
        `PostgreSQL is not ready after ${READY_PATIENCE_MS / 1000} s and goes on recovering ${home.data}: ` +
          `follow ${home.logFile} and start again when it is ready`,
      );
    await sleep(READY_POLL_MS);
  }
  const log = (await readFile(home.logFile)).subarray(logStart).toString();
  return describeFailure(home, child, spawnError?.message ?? log);
}

function describeFailure(home: EmbeddedHome, child: ChildProcess, log: string): StartOutcome {
  // Two starters write to one log: a line is ours by the pid in its prefix.
  const own = log.split('\n').filter((line) => line.includes(`[${child.pid}]`));
  const passing = PASSING_FAILURES.find(({ text }) => own.some((line) => line.includes(text)));
  const lines = log.trim().split('\n').slice(-8).join('\n  ');
  return {
    kind: 'failed',
    reason: passing?.reason ?? 'other',
    message:
      `PostgreSQL did not start in ${home.data}:\n  ${lines}\n` +
      `Its log is ${home.logFile}.${adviceFor(lines)}`,
  };
}

function serverArguments(home: EmbeddedHome, port: number): string[] {
  const settings: Record<string, string> = {
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: '',
    max_connections: '100',
    // Said here so that nothing in the cluster's own files can take durability away: a 2xx rests on it.
    fsync: 'on',
    full_page_writes: 'on',
    synchronous_commit: 'on',
    // Its stderr is the log file.
    logging_collector: 'off',
    log_destination: 'stderr',
    log_line_prefix: '%m [%p] ',
    lc_messages: 'C',
  };
  if (hasStatStatements(home)) settings.shared_preload_libraries = 'pg_stat_statements';
  return [
    '-D',
    home.data,
    ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
  ];
}

function hasStatStatements(home: EmbeddedHome): boolean {
  const files = [
    'postgresql/pg_stat_statements.so',
    'postgresql/pg_stat_statements.dylib',
    'pg_stat_statements.dll',
  ];
  return files.some((file) => existsSync(join(home.postgres, 'lib', file)));
}
