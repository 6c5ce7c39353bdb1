import type { Logger } from 'pino';
import type { Database } from '../store/database.ts';
import { noteOutages, OUTAGE_AFTER_MS } from '../store/imap-outages.ts';
import { noteSilence } from '../store/silence.ts';
import { describeStoreError } from '../store/unavailable.ts';

/** A script reports with every post, and each 15 minutes without: three missed, and a minute for its trigger. */
export const SILENT_AFTER_MS = 46 * 60_000;
const LOOK_MS = 30_000;

/** Looks from time to time whether sources fell silent, or came back. Every process may run one. */
export function startSilenceWatch(options: {
  database: Database;
  log: Logger;
  /** Called when an event was appended. */
  onEvent: () => void;
  silentAfterMs?: number | undefined;
  outageAfterMs?: number | undefined;
  lookMs?: number | undefined;
}): { stop(): Promise<void> } {
  const { database, log, onEvent, silentAfterMs = SILENT_AFTER_MS, lookMs = LOOK_MS } = options;
  const { outageAfterMs = OUTAGE_AFTER_MS } = options;
  let looking: Promise<void> | undefined;
  /** Since when this process runs and reaches the database, without a break: so long it could have been told. */
  let reachableSinceMs = performance.now();

  async function look(): Promise<void> {
    try {
      const reachableMs = Math.floor(performance.now() - reachableSinceMs);
      if (await database.inTime(noteSilence(database.sql, { silentAfterMs, reachableMs }))) onEvent();
      if (await database.inTime(noteOutages(database.sql, { outageAfterMs, reachableMs }))) onEvent();
    } catch (error) {
      reachableSinceMs = performance.now();
      log.warn({ reason: describeStoreError(error) }, 'could not look for silent sources');
    }
  }

  const timer = setInterval(() => {
    looking ??= look().finally(() => {
      looking = undefined;
    });
  }, lookMs);
  return {
    async stop() {
      clearInterval(timer);
      await looking;
    },
  };
}
