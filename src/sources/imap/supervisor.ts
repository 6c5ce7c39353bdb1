import type { Logger } from 'pino';
import type { FaultCount, SourceFault } from '../../core/source-retry.ts';
import { ImapError } from './imap-error.ts';
import { afterFault, afterRelease, type SessionEnd } from './session-end.ts';
import { LeaseLost } from './session-store.ts';

/*
 * Holds the sessions of this process. A source is claimed by lease when it is due, held while its session runs, and given
 * back with the time of its next try when it ends. Four things are looked after:
 *
 *   each second        what is due is claimed, up to this process's share of all sources
 *   1.5 s              what is held is still ours and wanted; whether a look was wished for; whether a standby may sleep
 *   5 s                this process is there; with the others it shares the sources evenly, and gives back what is too much
 *   15 s               leases are renewed
 *
 * A store that is away ends no session: mail waits on its server, and the leases of a process that nobody else outlives are
 * its own when the store is back.
 */

type Lease = { sourceId: string; owner: string; fence: number };

/** A claimed source, as far as this minds. */
export type Claimed = {
  lease: Lease;
  fault: SourceFault | null;
  failures: number;
  /** When a look was last wished for, before it was claimed. */
  hintedAt: Date | null;
};

export type SupervisorStore<C extends Claimed> = {
  claim(limit: number): Promise<{ claimed: C[]; hasMore: boolean }>;
  readHeld(
    ids: readonly C['lease']['sourceId'][],
  ): Promise<
    { sourceId: string; fence: number; isWanted: boolean; hintedAt: Date | null; isCovered: boolean }[]
  >;
  /** @returns the ids of those that were still ours. */
  renew(leases: readonly C['lease'][]): Promise<readonly string[]>;
  end(claimed: C, end: SessionEnd): Promise<void>;
  /** @returns how many sources this process should hold at most. */
  report(held: number): Promise<number>;
  leave(): Promise<void>;
};

/** What a session is told from outside. */
export type SessionHandle = {
  signal: AbortSignal;
  onReady(lookNow: () => void): void;
  onConnected(): void;
  /** A connection is about to log in. */
  onLogin(): void;
};

export type Supervisor = {
  /** Looks for due sources, and for changes of those that are held, now. */
  wake(): void;
  /** How many sessions there are. */
  held(): number;
  /** Ends all sessions in order and gives their sources back. */
  stop(): Promise<void>;
};

const SCAN_MS = 1000;
const CHECK_MS = 1500;
const REPORT_MS = 5000;
const RENEW_MS = 15_000;
/** Before a lease ends, which is three times as long as the time to its renewal. */
const RENEWAL_OVERDUE_MS = 2 * RENEW_MS;
/** Claimed by one statement: each is connected before more are taken. */
const MAX_CLAIM = 50;

/** Why a session is told to end. */
type Ending = 'lost' | 'stopped' | 'moved' | 'covered' | 'shutdown';

type Held<C> = {
  claimed: C;
  abort: AbortController;
  ending: Ending | undefined;
  lookNow: () => void;
  hintedAt: Date | null;
  done: Promise<void>;
};

export function startSupervisor<C extends Claimed>(options: {
  store: SupervisorStore<C>;
  /** Runs until the signal or a failure. */
  run: (claimed: C, handle: SessionHandle) => Promise<void>;
  backoffOf: (claimed: C) => { backoffMinMs?: number | undefined; backoffMaxMs?: number | undefined };
  log: Logger;
  describe: (error: unknown) => string;
  random: () => number;
  scanMs?: number | undefined;
}): Supervisor {
  const { store, run, log, describe, random } = options;
  const sessions = new Map<string, Held<C>>();
  let share = 0;
  let renewedMs = performance.now();
  let isStopping = false;

  async function claim(): Promise<void> {
    for (let hasMore = true; hasMore && !isStopping; ) {
      const limit = Math.min(MAX_CLAIM, share - sessions.size);
      if (limit <= 0) return;
      // Leases that ran out while the store was away are ours as long as nobody took them: they are not to be claimed anew.
      if (performance.now() - renewedMs > RENEWAL_OVERDUE_MS) await renew();
      const found = await store.claim(limit);
      for (const claimed of found.claimed) start(claimed);
      hasMore = found.hasMore;
    }
  }

  function start(claimed: C): void {
    const { sourceId } = claimed.lease;
    // Its lease is another one by now, as after a change of its settings. It may not know yet.
    const before = sessions.get(sourceId);
    if (before !== undefined) tell(before, 'lost');
    const session: Held<C> = {
      claimed,
      abort: new AbortController(),
      ending: isStopping ? 'shutdown' : undefined,
      lookNow: () => {},
      hintedAt: claimed.hintedAt,
      done: Promise.resolve(),
    };
    if (isStopping) session.abort.abort();
    sessions.set(sourceId, session);
    session.done = Promise.resolve(before?.done)
      .then(() => hold(session))
      .finally(() => {
        if (sessions.get(sourceId) === session) sessions.delete(sourceId);
      });
  }

  /** Never rejects: what goes wrong costs this session, and a lease that is not given back ends by itself. */
  async function hold(session: Held<C>): Promise<void> {
    const { claimed, abort } = session;
    const { sourceId } = claimed.lease;
    let connectedMs: number | undefined;
    let logins = 0;
    const lastedMs = () => (connectedMs === undefined ? 0 : performance.now() - connectedMs);
    const before: FaultCount | null = claimed.fault && { fault: claimed.fault, failures: claimed.failures };
    let end: SessionEnd;
    try {
      await run(claimed, {
        signal: abort.signal,
        onReady: (lookNow) => {
          session.lookNow = lookNow;
        },
        onConnected: () => {
          connectedMs = performance.now();
        },
        onLogin: () => {
          logins++;
        },
      });
      end = afterRelease(before, lastedMs(), session.ending === 'covered' ? 'standby' : 'disconnected');
    } catch (error) {
      const isLost = error instanceof LeaseLost;
      const fault = error instanceof ImapError ? error : isLost ? notKept(error) : ofOurs(error);
      if (isLost) log.debug({ sourceId }, 'a source was changed, or taken over by another process');
      else if (fault.fault === 'internal') {
        const cause = fault.cause ?? error;
        log.error({ sourceId, reason: describe(cause) }, 'a session failed by a fault of ours');
      }
      const bounds = { random: random(), logins, ...options.backoffOf(claimed) };
      end = afterFault(before, fault, lastedMs(), bounds);
      const { state, failures, dueInMs } = end;
      // Of one that is lost in truth nothing has failed.
      log[isLost ? 'debug' : 'info'](
        { sourceId, fault: fault.fault, state, failures, dueInMs, reason: fault.message },
        'a session ended',
      );
    }
    await giveBack(session, end);
  }

  /** Touches nothing when somebody else has the lease. */
  async function giveBack({ claimed, ending }: Held<C>, end: SessionEnd): Promise<void> {
    if (ending === 'lost') return;
    const { sourceId } = claimed.lease;
    await store
      .end(claimed, end)
      .catch((error) => log.warn({ sourceId, reason: describe(error) }, 'a lease is left to its end'));
  }

  async function check(): Promise<void> {
    if (sessions.size === 0) return;
    const asked = [...sessions.values()];
    const rows = await store.readHeld(asked.map(({ claimed }) => claimed.lease.sourceId));
    const byId = new Map(rows.map((row) => [row.sourceId, row]));
    for (const session of asked) {
      const { sourceId, fence } = session.claimed.lease;
      const row = byId.get(sourceId);
      if (row === undefined || row.fence !== fence) tell(session, 'lost');
      else if (!row.isWanted) tell(session, 'stopped');
      else if (row.isCovered) tell(session, 'covered');
      else {
        const isHinted = row.hintedAt?.getTime() !== session.hintedAt?.getTime();
        session.hintedAt = row.hintedAt;
        if (isHinted) session.lookNow();
      }
    }
  }

  function tell(session: Held<C>, ending: Ending): void {
    session.ending ??= ending;
    session.abort.abort();
  }

  async function report(): Promise<void> {
    share = await store.report(sessions.size);
    const tooMany = [...sessions.values()].filter(({ ending }) => ending === undefined).slice(share);
    for (const session of tooMany) tell(session, 'moved');
    if (share > sessions.size) claiming.now();
  }

  async function renew(): Promise<void> {
    const asked = [...sessions.values()];
    const ours = new Set(
      asked.length === 0 ? [] : await store.renew(asked.map(({ claimed }) => claimed.lease)),
    );
    renewedMs = performance.now();
    for (const session of asked) if (!ours.has(session.claimed.lease.sourceId)) tell(session, 'lost');
  }

  const { scanMs = SCAN_MS } = options;
  const claiming = repeat(claim, scanMs, 'could not look for due sources');
  const checking = repeat(check, Math.min(CHECK_MS, scanMs * 1.5), 'could not look after held sources');
  const renewing = repeat(renew, RENEW_MS, 'could not renew leases');
  const reporting = repeat(report, REPORT_MS, 'could not say that this worker is there');
  const loops = [claiming, checking, renewing, reporting];
  // Before the first claim: it tells the share.
  reporting.now();

  /** One at a time; a store that takes its time is not asked the same again meanwhile. */
  function repeat(work: () => Promise<void>, eachMs: number, complaint: string) {
    let running: Promise<void> | undefined;
    let isWanted = false;
    const now = () => {
      isWanted = true;
      running ??= (async () => {
        while (isWanted && !isStopping) {
          isWanted = false;
          await work().catch((error) => log.warn({ reason: describe(error) }, complaint));
        }
      })().finally(() => {
        running = undefined;
      });
    };
    const timer = setInterval(now, eachMs);
    return {
      now,
      async stop() {
        clearInterval(timer);
        await running;
      },
    };
  }

  return {
    wake() {
      // Its share grows with a source that has just been made.
      reporting.now();
      checking.now();
      claiming.now();
    },
    held: () => sessions.size,
    async stop() {
      isStopping = true;
      for (const session of sessions.values()) tell(session, 'shutdown');
      await Promise.all(loops.map((loop) => loop.stop()));
      await Promise.all([...sessions.values()].map(({ done }) => done));
      await store.leave().catch((error) => log.debug({ reason: describe(error) }, 'could not say goodbye'));
    },
  };
}

/** If the lease is ours all the same, a cursor was not where it was thought to be. The next session reads it, and may meet that again. */
function notKept(cause: LeaseLost): ImapError {
  return new ImapError('internal', 'what was read was not kept: another had changed its place', { cause });
}

function ofOurs(cause: unknown): ImapError {
  return new ImapError('internal', 'a fault of ours, not of the server: the log has it', { cause });
}
