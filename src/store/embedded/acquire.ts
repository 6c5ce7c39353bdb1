import { setTimeout as sleep } from 'node:timers/promises';
import { MailgressError } from '../../core/errors.ts';
import type { Session } from './connect.ts';
import { findSession } from './find-session.ts';
import type { EmbeddedHome } from './home.ts';
import { postmasterFilePath } from './postmaster-file.ts';
import { startPostmaster } from './start-postmaster.ts';
import { stopPostmaster } from './stop-postmaster.ts';

/** How long a start that failed for a passing reason is tried again. */
const START_PATIENCE_MS = {
  // Another process took the port between our choice and PostgreSQL's bind; another choice will do.
  port_taken: 15_000,
  // Another starter was first; we wait for its server, which may have to recover.
  directory_locked: 60_000,
  // After a kill -9 of the server its orphaned backends hold the shared memory until they notice.
  shared_memory: 15_000,
  other: 0,
};

const PATIENCE_MS = 60_000;
const POLL_MS = 25;

/**
 * A session with the server of `home`, which is started if it does not run. Another process may hold the
 * lock; it is for the caller to look at `holdsLock`.
 *
 * `stopping` keeps a server from being started; one that is already there is still waited for, so that it
 * can be stopped.
 *
 * @throws MailgressError `embedded_database` when there is no server to be had within the patience above.
 */
export async function acquire(
  home: EmbeddedHome,
  choosePort: () => Promise<number>,
  stopping?: AbortSignal,
): Promise<{ session: Session; isStartedHere: boolean }> {
  const startedMs = performance.now();
  let ownStartPid: number | undefined;
  for (;;) {
    const elapsedMs = performance.now() - startedMs;
    const found = await findSession(home).catch(async (error: unknown) => {
      // Our own child, that does not take the password kept beside it: useless, so not left running.
      if (ownStartPid !== undefined) await stopPostmaster(home, ownStartPid, () => {});
      throw error;
    });
    if (found.kind === 'session')
      return { session: found.session, isStartedHere: found.session.pid === ownStartPid };

    if (elapsedMs > PATIENCE_MS) {
      const reason = found.kind === 'busy' ? found.reason : 'it ends as soon as it is ready';
      throw new MailgressError(
        'embedded_database',
        `the PostgreSQL in ${home.data} does not let us in: ${reason}. Its log is ${home.logFile}. ` +
          `If no postgres process uses that directory, delete ${postmasterFilePath(home.data)} and start again`,
      );
    }
    if (found.kind === 'absent') {
      stopping?.throwIfAborted();
      const start = await startPostmaster(home, await choosePort());
      if (start.kind === 'ready') {
        ownStartPid = start.pid;
        continue;
      }
      if (elapsedMs >= START_PATIENCE_MS[start.reason])
        throw new MailgressError('embedded_database', start.message);
    }
    await sleep(POLL_MS);
  }
}
