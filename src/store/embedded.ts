import { setTimeout as sleep } from 'node:timers/promises';
import { describeError, MailgressError } from '../core/errors.ts';
import { acquire } from './embedded/acquire.ts';
import { adviceFor } from './embedded/advice.ts';
import { chooseFreePort } from './embedded/choose-port.ts';
import { createCluster } from './embedded/cluster.ts';
import type { Session } from './embedded/connect.ts';
import { type EmbeddedHome, resolveHome } from './embedded/home.ts';
import { stopPostmaster } from './embedded/stop-postmaster.ts';

/*
 * One embedded PostgreSQL per directory, shared by the processes of one machine.
 *
 * Its owner is whoever holds a session advisory lock in it. A process that dies, however it dies, loses
 * its connection and with it the lock; a file could not tell that. The server itself is not the owner's
 * captive: it runs in a process group of its own and outlives a killed owner, so that
 *
 *   - Ctrl-C in a terminal, sent to the whole foreground group, cannot stop it before requests are drained;
 *   - the next start finds it running without an owner, and adopts it instead of waiting for recovery.
 *
 * Everything is one loop (`acquire`): look for a server that is provably ours and go in; is there none,
 * start one and look again. The first start, adoption, joining, the restart of a server that died and the
 * loser of two simultaneous starts all take that path.
 */

export type EmbeddedDatabase = {
  /** `postgres://...` to the database "mailgress"; stays the same when the server has to be restarted. */
  url: string;
  /** True: this process keeps the server running, and `stop` stops it. False: it joined another's. */
  owned: boolean;
  /** Stops an owned server, once nobody needs it; leaves a joined one alone. May be called again. */
  stop(): Promise<void>;
};

export type EmbeddedOptions = {
  /** Holds the cluster, its password and its log. Its parent exists; itself it need not. */
  directory: string;
  /** `own`: refuse when a live process owns the server. `join`: use that one, or else own it. */
  mode: 'own' | 'join';
  /** Told in one line each: what takes long, and what did not go as usual. */
  log(message: string): void;
  /** As root, what PostgreSQL's user cannot reach elsewhere goes here. */
  systemDirectory?: string;
  choosePort?(): Promise<number>;
};

/** The server frees a dead owner's lock when it reads the end of its connection: soon, on a busy machine. */
const LOCK_PATIENCE_MS = 1_000;
const LOCK_POLL_MS = 100;
const REGAIN_DELAY_MS = { first: 100, longest: 5_000 };

/**
 * The embedded PostgreSQL of `directory`, running: created, started, adopted or joined as needed.
 *
 * An owned server that dies is started again under the same URL until `stop` is called. Without `stop` it
 * outlives the process, for the next start to adopt.
 *
 * @throws MailgressError `already_running` (mode `own`): a live process owns it. `embedded_database`: it
 *   cannot be had; the message says why and what to do.
 */
export async function openEmbedded(options: EmbeddedOptions): Promise<EmbeddedDatabase> {
  const { directory, mode, log } = options;
  try {
    const home = await resolveHome(options);
    await createCluster(home, log);
    const { session, isStartedHere } = await acquirePatiently(home, options);
    if (session.holdsLock) {
      if (!isStartedHere)
        log(`took over PostgreSQL (pid ${session.pid}), left running by an earlier Mailgress`);
      return keep(home, session, log);
    }
    await session.end();
    if (mode === 'join') return { url: session.url, owned: false, stop: async () => {} };
    throw new MailgressError('already_running', `another Mailgress is running on ${directory}`);
  } catch (error) {
    if (error instanceof MailgressError) throw error;
    const message = `the embedded database in ${directory} cannot be opened: ${describeError(error)}`;
    throw new MailgressError('embedded_database', message + adviceFor(message), { cause: error });
  }
}

/** As `acquire`; to own the server, an owner killed a moment ago is given time to be noticed. */
async function acquirePatiently(home: EmbeddedHome, { mode, choosePort }: EmbeddedOptions) {
  const deadlineMs = performance.now() + LOCK_PATIENCE_MS;
  for (;;) {
    const acquired = await acquire(home, choosePort ?? chooseFreePort);
    if (acquired.session.holdsLock || mode === 'join' || performance.now() > deadlineMs) return acquired;
    await acquired.session.end();
    await sleep(LOCK_POLL_MS);
  }
}

/** Holds on to an owned server: whenever the session breaks, the server is looked for and started again. */
function keep(home: EmbeddedHome, first: Session, log: (message: string) => void): EmbeddedDatabase {
  const stopping = new AbortController();
  // Replaced only when its session has closed, so there is never a second loop at work.
  let current: Promise<Session | undefined> = Promise.resolve(first);
  let stopped: Promise<void> | undefined;
  watch(first);

  function watch(session: Session): void {
    session.closed.then(() => {
      if (stopping.signal.aborted) return;
      log('lost the embedded PostgreSQL; getting it back');
      current = regain(home, first.port, log, stopping.signal);
      current.then((next) => next && watch(next));
    });
  }

  async function stop(): Promise<void> {
    stopping.abort();
    const session = await current;
    if (!session) return;
    await stopPostmaster(home, session.pid, log);
    await session.end();
  }

  return {
    url: first.url,
    owned: true,
    stop: () => {
      stopped ??= stop();
      return stopped;
    },
  };
}

/**
 * The server again, owned, and on the same port: pools hold its URL. Tries until it succeeds or `stopping`
 * is raised, which it answers with undefined; never throws.
 */
async function regain(
  home: EmbeddedHome,
  port: number,
  log: (message: string) => void,
  stopping: AbortSignal,
): Promise<Session | undefined> {
  for (
    let delayMs = REGAIN_DELAY_MS.first;
    !stopping.aborted;
    delayMs = Math.min(delayMs * 2, REGAIN_DELAY_MS.longest)
  ) {
    try {
      const { session } = await acquire(home, async () => port, stopping);
      if (session.holdsLock && session.port === port) {
        log(`the embedded PostgreSQL is back on port ${port}`);
        return session;
      }
      // Ours to own, but on another port: a process that has since died started it while we were without.
      if (session.holdsLock) await stopPostmaster(home, session.pid, log);
      else log('another process holds the embedded PostgreSQL; waiting for it');
      await session.end();
    } catch (error) {
      if (!stopping.aborted) log(`the embedded PostgreSQL is not back yet: ${describeError(error)}`);
    }
    // Cut short, with a rejection, by `stop`.
    await sleep(delayMs, undefined, { signal: stopping }).catch(() => {});
  }
  return undefined;
}
