import type { MailRow } from '../store/mail-row.ts';
import { createLane, type LaneReport } from './lane.ts';
import type { PrepareTask } from './prepare-mail.ts';

export type Preparer = {
  /** @throws MailgressError `overloaded`, retryable: too much is waiting. */
  prepare(task: PrepareTask): Promise<MailRow>;
  close(): Promise<void>;
};

/** The worst mail of so many bytes takes a second or two. */
const LARGE_BYTES = 1024 * 1024;

/**
 * The worst that is known is 2.5 s of CPU for 25 MB (short lines that are nearly boundaries, below 250 multiparts);
 * this is for what nobody has seen, and for machines that are busy.
 */
const DEADLINE_MS = 60_000;
/** Others wait behind a small one, twice that long at the worst: see `createLane`. */
const SMALL_DEADLINE_MS = 10_000;
/** So much mail may wait for its thread, in bytes; requests hold it anyway. */
const MAX_WAITING_BYTES = 128 * 1024 * 1024;

/**
 * Reads mails in threads, so that none holds up what else the process does. Large ones have a thread of their own:
 * small ones do not wait behind them.
 */
export function createPreparer(report: LaneReport): Preparer {
  const common = { maxWaitingBytes: MAX_WAITING_BYTES, deadlineMs: DEADLINE_MS, report };
  const small = createLane({
    maxMails: 64,
    maxBytes: 1024 * 1024,
    idleMs: 60_000,
    maxHeapMb: 256,
    ...common,
    deadlineMs: SMALL_DEADLINE_MS,
  });
  const large = createLane({ maxMails: 1, maxBytes: 0, idleMs: 10_000, maxHeapMb: 1024, ...common });

  return {
    prepare: (task) => (task.mail.bytes.length > LARGE_BYTES ? large : small).prepare(task),
    async close() {
      await Promise.all([small.close(), large.close()]);
    },
  };
}
