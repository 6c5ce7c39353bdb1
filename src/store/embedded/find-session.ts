import { setTimeout as sleep } from 'node:timers/promises';
import { type ConnectOutcome, connect } from './connect.ts';
import type { EmbeddedHome } from './home.ts';
import { isAlive, type PostmasterFile, readPostmasterFile, removePostmasterFile } from './postmaster-file.ts';

const SILENCE_MS = 1_000;
const POLL_MS = 50;

/**
 * Looks for the running server of `home`: the one that its `postmaster.pid` points to, that takes our
 * password and serves this very directory. Takes the owner's lock if it is free.
 *
 * A `postmaster.pid` left by a killed server is removed. Its pid may since have been given to a process that
 * is none of ours, or be a zombie that nobody collects (a container's process 1 may not); PostgreSQL would
 * refuse to start over either. What tells is silence on the port: a postmaster listens from milliseconds
 * after it writes the file until it removes it. Should that ever be wrong, no harm is done: PostgreSQL
 * guards the directory by its shared memory as well, against orphans of a killed server too.
 *
 * @throws MailgressError `embedded_database` when something else answers, or the password is missing.
 */
export async function findSession(home: EmbeddedHome): Promise<ConnectOutcome | { kind: 'absent' }> {
  const startedMs = performance.now();
  let first: PostmasterFile | undefined;
  for (;;) {
    const file = await readPostmasterFile(home.data);
    if (!file) return { kind: 'absent' };
    first ??= file;
    if (file.text !== first.text) return { kind: 'busy', reason: 'it is starting' };

    const isDead = file.pid !== undefined && !isAlive(file.pid);
    if (!isDead && file.port !== undefined) {
      const outcome = await connect(home, file.port);
      if (outcome.kind !== 'silent') return outcome;
    }
    if (isDead || performance.now() - startedMs > SILENCE_MS) {
      removePostmasterFile(home.data, file.text);
      return { kind: 'absent' };
    }
    await sleep(POLL_MS);
  }
}
