import { setTimeout as wait } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { RunResult } from './run.ts';
import { LeaseLost } from './sync.ts';

/*
 * Sources are claimed by lease, looked at, and given back. Three things make the syncer look for due ones: a wake-up in
 * this process right after a hint, a NOTIFY from a process that does not sync itself, and a scan each second, which also
 * finds what has become due by its time and what a dead process had claimed.
 */

/** The lease of a claimed source, as far as the syncer minds. */
export type Claimed = { lease: { sourceId: string } };

export type SyncerStore<C extends Claimed> = {
  claim(limit: number): Promise<C[]>;
  /** @returns false when the lease is lost or the source no longer wanted. */
  renew(claimed: C): Promise<boolean>;
  end(claimed: C, result: RunResult): Promise<void>;
  release(claimed: C): Promise<void>;
};

export type Syncer = {
  /** Looks for due sources now. */
  wake(): void;
  /** Claims nothing more, breaks off what is under way, and gives it back. */
  stop(): Promise<void>;
};

const SCAN_INTERVAL_MS = 1000;
/** Pushes that come in a row share a look: a lone one does not wait. */
const CLAIM_INTERVAL_MS = 20;
/** Sources at once; each has a few requests under way. */
const MAX_RUNS = 16;
/** A fault of ours or of the store: so long until the source is looked at again. */
const FAULT_WAIT_MS = 5000;

export function startSyncer<C extends Claimed>(options: {
  store: SyncerStore<C>;
  run: (claimed: C, signal: AbortSignal) => Promise<RunResult>;
  /** A third of how long a lease lasts. */
  renewEachMs: number;
  log: Logger;
  /** An error in a line for the log, without what it may quote. */
  describe: (error: unknown) => string;
  scanIntervalMs?: number | undefined;
}): Syncer {
  const { store, run, log, describe } = options;
  const stopping = new AbortController();
  const underWay = new Set<Promise<void>>();
  let claiming: Promise<void> | undefined;
  let isWanted = false;
  let claimedMs = Number.NEGATIVE_INFINITY;

  function wake(): void {
    isWanted = true;
    if (stopping.signal.aborted || claiming !== undefined) return;
    claiming = claimAll()
      .catch((error) => log.warn({ reason: describe(error) }, 'could not look for due sources'))
      .finally(() => {
        claiming = undefined;
        if (isWanted && underWay.size < MAX_RUNS) wake();
      });
  }

  async function claimAll(): Promise<void> {
    while (isWanted && !stopping.signal.aborted) {
      const waitMs = claimedMs + CLAIM_INTERVAL_MS - performance.now();
      if (waitMs > 0) await wait(waitMs, undefined, { signal: stopping.signal }).catch(() => {});
      const limit = MAX_RUNS - underWay.size;
      if (limit <= 0) return;
      isWanted = false;
      claimedMs = performance.now();
      const claimed = await store.claim(limit);
      for (const one of claimed) start(one);
      if (claimed.length === limit) isWanted = true;
    }
  }

  function start(claimed: C): void {
    const work = hold(claimed).finally(() => {
      underWay.delete(work);
      // It may be due again already, and it may have kept others waiting.
      wake();
    });
    underWay.add(work);
  }

  /** Never rejects: what goes wrong costs this run, and the lease ends by itself. */
  async function hold(claimed: C): Promise<void> {
    const { sourceId } = claimed.lease;
    const lost = new AbortController();
    const signal = AbortSignal.any([stopping.signal, lost.signal]);
    let isRenewing = false;
    const renewal = setInterval(() => {
      // A store that takes its time is not asked the same again meanwhile.
      if (isRenewing) return;
      isRenewing = true;
      store
        .renew(claimed)
        .then(
          (isOurs) => isOurs || lost.abort(new LeaseLost()),
          (error) => log.warn({ sourceId, reason: describe(error) }, 'could not renew a lease'),
        )
        .finally(() => {
          isRenewing = false;
        });
    }, options.renewEachMs);
    try {
      const result = await run(claimed, signal);
      if (result.failures > 0) {
        const { state, reason } = result;
        // That of a lost consent has the link in it by which a new one is given.
        log.warn(
          { sourceId, state, ...(state !== 'needs_reauth' && { reason }) },
          'a look at a mailbox failed',
        );
      }
      await store.end(claimed, result);
    } catch (error) {
      if (lost.signal.aborted || error instanceof LeaseLost) {
        log.debug({ sourceId }, 'a source was stopped, or taken over by another process');
      } else if (!stopping.signal.aborted) {
        log.warn({ sourceId, reason: describe(error) }, 'a look at a mailbox was broken off');
        // Not at once: whatever it is, it is not mended by haste.
        await wait(FAULT_WAIT_MS, undefined, { signal: stopping.signal }).catch(() => {});
      }
      await store
        .release(claimed)
        .catch((cause) => log.debug({ sourceId, reason: describe(cause) }, 'a lease is left to its end'));
    } finally {
      clearInterval(renewal);
    }
  }

  const scan = setInterval(wake, options.scanIntervalMs ?? SCAN_INTERVAL_MS);
  wake();
  return {
    wake,
    async stop() {
      clearInterval(scan);
      stopping.abort(new Error('the service stops'));
      await claiming;
      await Promise.all(underWay);
    },
  };
}
