import type { Logger } from 'pino';
import type { Database } from '../store/database.ts';
import { FEED_RAISED, raiseFeed } from '../store/feed-places.ts';
import { describeStoreError } from '../store/unavailable.ts';

/** A proxy may keep our connections while another server takes over behind it: no loss tells of that. */
const LOOK_MS = 30_000;
/** What a look loses itself, while the database is away, is no reason for another at once. */
const REST_MS = 1000;

/**
 * Looks whether the log is where it was: once before it resolves, then from time to time and when connections were lost,
 * since another server may have taken over, from an earlier point. Of looks that fail in a row the first is told.
 *
 * @throws what the database answers to the first look.
 */
export async function startFeedWatch(options: {
  database: Database;
  log: Logger;
  lookMs?: number | undefined;
}): Promise<{ stop(): Promise<void> }> {
  const { database, log, lookMs = LOOK_MS } = options;
  let timer: NodeJS.Timeout | undefined;
  let looking: Promise<void> | undefined;
  let restsUntilMs = 0;
  let isStopped = false;
  let isWanted = false;
  let isFailing = false;

  async function look(): Promise<void> {
    if (await database.inTime(raiseFeed(database.hot))) log.warn(FEED_RAISED);
  }

  async function lookAgain(): Promise<void> {
    isWanted = false;
    try {
      await look();
      isFailing = false;
    } catch (error) {
      if (!isFailing)
        log.warn({ reason: describeStoreError(error) }, 'could not look whether the log is where it was');
      isFailing = true;
    }
    looking = undefined;
    restsUntilMs = performance.now() + REST_MS;
    schedule(isWanted || isFailing ? REST_MS : lookMs);
  }

  function schedule(ms: number): void {
    clearTimeout(timer);
    if (isStopped) return;
    timer = setTimeout(() => {
      looking = lookAgain();
    }, ms);
  }

  await look();
  schedule(lookMs);
  database.onLost(() => {
    isWanted = true;
    if (looking === undefined) schedule(Math.max(0, restsUntilMs - performance.now()));
  });
  return {
    async stop() {
      isStopped = true;
      clearTimeout(timer);
      await looking;
    },
  };
}
