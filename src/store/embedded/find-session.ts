import { rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ConnectOutcome, connect } from './connect.ts';
import type { EmbeddedHome } from './home.ts';
import { isAlive, type PostmasterFile, postmasterFilePath, readPostmasterFile } from './postmaster-file.ts';

const SILENCE_MS = 1_000;
const SILENCE_POLL_MS = 50;

/**
 * Looks for the running server of `home`: the one that its `postmaster.pid` points to, that takes our
 * password and serves this very directory. Takes the owner's lock if it is free.
 *
 * A `postmaster.pid` left by a killed server can name a live process that is none of ours, its pid having
 * been given out again, or a zombie that nobody collects (a container's process 1 may not). PostgreSQL
 * would refuse to start over it, so it is removed here. The proof is
 * silence on its port: a postmaster listens from milliseconds after it writes the file until it removes it.
 * Should that ever be wrong, PostgreSQL still guards the directory by its shared memory.
 *
 * @throws MailgressError `embedded_database` when something else answers, or the password is missing.
 */
export async function findSession(home: EmbeddedHome): Promise<ConnectOutcome | { kind: 'absent' }> {
  const startedMs = performance.now();
  let first: PostmasterFile | undefined;
  for (;;) {
    const file = await readPostmasterFile(home.data);
    // A file whose process has gone PostgreSQL replaces by itself.
    if (!file || !isAlive(file.pid)) return { kind: 'absent' };
    first ??= file;
    if (file.text !== first.text) return { kind: 'busy', reason: 'it is starting' };
    const outcome = file.port === undefined ? { kind: 'silent' as const } : await connect(home, file.port);
    if (outcome.kind !== 'silent') return outcome;

    if (performance.now() - startedMs > SILENCE_MS) {
      await rm(postmasterFilePath(home.data), { force: true });
      return { kind: 'absent' };
    }
    await sleep(SILENCE_POLL_MS);
  }
}
