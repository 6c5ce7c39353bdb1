import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MailgressError } from '../../core/errors.ts';
import type { EmbeddedHome } from './home.ts';
import { isAlive, readPostmasterFile } from './postmaster-file.ts';

/** PostgreSQL's two stops that do not wait for clients, and how long each may take. */
const STOPS = [
  // Fast: rolls back what is open and writes a checkpoint, which a slow disk draws out.
  { signal: 'SIGINT', patienceMs: 30_000 },
  // Immediate: ends at once, and the next start recovers from the log. Nothing committed is lost by it.
  { signal: 'SIGQUIT', patienceMs: 15_000 },
] as const;
const POLL_MS = 10;

/**
 * Stops the server of `home` and returns when it has gone. `pid` must come from a session with that very
 * server (`Session.pid`), never from a file alone. A server already gone is fine.
 *
 * @throws MailgressError `embedded_database` when it does not go.
 */
export async function stopPostmaster(
  home: EmbeddedHome,
  pid: number,
  log: (message: string) => void,
): Promise<void> {
  for (const { signal, patienceMs } of STOPS) {
    if (await isGone(home, pid)) return;
    send(home, pid, signal);
    const deadlineMs = performance.now() + patienceMs;
    while (performance.now() < deadlineMs) {
      if (await isGone(home, pid)) return;
      await sleep(POLL_MS);
    }
    log(`PostgreSQL (pid ${pid}) has not stopped ${patienceMs / 1000} s after ${signal}`);
  }
  throw new MailgressError(
    'embedded_database',
    `PostgreSQL (pid ${pid}, ${home.data}) does not stop: see ${home.logFile}`,
  );
}

/**
 * A stopping server removes its file last. The file alone would not do, as a killed server leaves it; nor
 * the pid alone, as an adopted server stays a zombie where process 1 does not collect orphans (containers).
 */
async function isGone(home: EmbeddedHome, pid: number): Promise<boolean> {
  return !isAlive(pid) || (await readPostmasterFile(home.data))?.pid !== pid;
}

function send(home: EmbeddedHome, pid: number, signal: 'SIGINT' | 'SIGQUIT'): void {
  // Windows has no signals: node would end the process hard; PostgreSQL has a pipe of its own for them.
  if (process.platform === 'win32') {
    execFileSync(join(home.postgres, 'bin', 'pg_ctl'), ['kill', signal.slice(3), String(pid)]);
    return;
  }
  try {
    process.kill(pid, signal);
  } catch (error) {
    // It went by itself since we looked.
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}
