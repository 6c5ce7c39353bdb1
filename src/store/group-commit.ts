import { MailgressError } from '../core/errors.ts';
import { withDeadline } from './deadline.ts';
import { isConflict, isRowRefused, isUnavailable, storeUnavailable } from './unavailable.ts';

export type GroupCommitOptions<Row, Result> = {
  /** Writes rows in one statement and answers one result a row, in order. May throw. */
  flush: (rows: Row[]) => Promise<Result[]>;
  sizeOf: (row: Row) => number;
  /** A flush holds at most so many rows and bytes (a single larger row goes alone). */
  maxRows: number;
  maxBytes: number;
  /** While a flush runs, rows gather for up to so long before the next begins beside it. */
  gatherMs: number;
  maxFlushes: number;
  /** Beyond so many bytes waiting or being written, `submit` refuses. One row is always taken. */
  maxPendingBytes: number;
  /** A flush that takes longer counts as failed; whether it was written is then unknown. */
  deadlineMs: number;
};

export type GroupCommit<Row, Result> = {
  /**
   * Settles once the row's own fate is durable.
   *
   * @throws MailgressError `overloaded` (nothing was done), `store_unavailable` (the row may or may not be stored:
   * send it again), or what the database says of this very row.
   */
  submit(row: Row): Promise<Result>;
  /** Resolves when nothing is waiting or being written. */
  drained(): Promise<void>;
};

/** A deadlock between flushes of two processes resolves at the first or second repeat. */
const MAX_CONFLICT_REPEATS = 5;

type Pending<Row, Result> = {
  row: Row;
  size: number;
  resolve: (result: Result) => void;
  reject: (error: unknown) => void;
};

/**
 * Lets concurrent calls share a statement. An idle store writes at once; while it writes, rows gather, so that the
 * group grows exactly as fast as the store falls behind.
 *
 * A row that the database refuses must not fail its neighbours: a refused group is halved until the row is alone.
 */
export function createGroupCommit<Row, Result>(
  options: GroupCommitOptions<Row, Result>,
): GroupCommit<Row, Result> {
  let waiting: Pending<Row, Result>[] = [];
  let waitingBytes = 0;
  let pendingBytes = 0;
  let running = 0;
  let isScheduled = false;
  let gatherTimer: NodeJS.Timeout | undefined;
  let onDrained: (() => void)[] = [];

  const isFull = () => waiting.length >= options.maxRows || waitingBytes >= options.maxBytes;

  function schedule(): void {
    if (waiting.length === 0 || running >= options.maxFlushes) return;
    if (running === 0 || isFull()) {
      if (isScheduled) return;
      isScheduled = true;
      // After the current turn: requests parsed in one turn share the flush.
      setImmediate(() => {
        isScheduled = false;
        start();
      });
    } else {
      gatherTimer ??= setTimeout(start, options.gatherMs);
    }
  }

  function start(): void {
    clearTimeout(gatherTimer);
    gatherTimer = undefined;
    if (waiting.length === 0 || running >= options.maxFlushes) return;
    const group = takeGroup();
    running++;
    void write(group).finally(() => {
      running--;
      schedule();
      if (running === 0 && waiting.length === 0) {
        for (const resolve of onDrained) resolve();
        onDrained = [];
      }
    });
    schedule();
  }

  function takeGroup(): Pending<Row, Result>[] {
    let count = 0;
    let bytes = 0;
    for (const { size } of waiting) {
      if (count > 0 && (count >= options.maxRows || bytes + size > options.maxBytes)) break;
      count++;
      bytes += size;
    }
    waitingBytes -= bytes;
    const group = waiting.slice(0, count);
    waiting = waiting.slice(count);
    return group;
  }

  /** Never rejects: each pending call is settled. */
  async function write(group: Pending<Row, Result>[], conflicts = 0): Promise<void> {
    try {
      const results = await withDeadline(options.flush(group.map(({ row }) => row)), options.deadlineMs);
      for (const [index, pending] of group.entries()) {
        const result = results[index];
        pendingBytes -= pending.size;
        if (result === undefined) pending.reject(new MailgressError('internal', 'A flush lost a row'));
        else pending.resolve(result);
      }
    } catch (error) {
      if (isConflict(error) && conflicts < MAX_CONFLICT_REPEATS) return write(group, conflicts + 1);
      if (!isRowRefused(error) || group.length === 1) {
        const reason = isConflict(error) || isUnavailable(error) ? storeUnavailable(error) : error;
        for (const pending of group) {
          pendingBytes -= pending.size;
          pending.reject(reason);
        }
        return;
      }
      const middle = group.length >> 1;
      await write(group.slice(0, middle));
      await write(group.slice(middle));
    }
  }

  return {
    submit(row) {
      const size = options.sizeOf(row);
      if (pendingBytes > 0 && pendingBytes + size > options.maxPendingBytes) {
        return Promise.reject(
          new MailgressError('overloaded', 'Too much mail is waiting to be stored; send it again shortly', {
            retryable: true,
          }),
        );
      }
      return new Promise<Result>((resolve, reject) => {
        waiting.push({ row, size, resolve, reject });
        waitingBytes += size;
        pendingBytes += size;
        schedule();
      });
    },

    drained() {
      if (running === 0 && waiting.length === 0) return Promise.resolve();
      return new Promise((resolve) => onDrained.push(resolve));
    },
  };
}
