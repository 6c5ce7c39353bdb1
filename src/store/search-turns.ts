import { randomUUID } from 'node:crypto';
import type { PendingQuery, Row, Sql } from 'postgres';
import { createByteBudget } from '../core/byte-budget.ts';
import { MailgressError } from '../core/errors.ts';
import { sqlStateOf } from './unavailable.ts';

/** Searches that run at once: each may take seconds of a processor of the database. */
export const SEARCHES_AT_ONCE = 2;
/** For all of a search, the wait for its turn included: less than a request may take. */
const PATIENCE_MS = 12_000;
/** Of it, for the turn. */
const WAIT_MS = 5000;
/** One that has not begun at the server is not there to be ended: it is looked for again. */
const END_AGAIN_MS = 250;

/**
 * The right to run statements that may have to be ended, one after the other: `read` does, and ends one at the server that takes
 * longer than `patienceMs`, or than is left of the search's own.
 */
export type SearchTurn = {
  /** @throws MailgressError `search_too_wide` */
  read<T extends Row[]>(
    patienceMs: number,
    write: (sql: Sql, mark: PendingQuery<Row[]>) => PendingQuery<T>,
  ): Promise<T>;
};

/** @param tenant of whom no more than half run at once; null: of all tenants, without such a bound. */
export type SearchTurns = <T>(tenant: string | null, work: (turn: SearchTurn) => Promise<T>) => Promise<T>;

type Options = { search: Sql; api: Sql; inTime: <T>(work: Promise<T>) => Promise<T>; totalMs?: number };

/**
 * Gives turns to searches. A statement is found by a mark that it begins with, and ended by `pg_cancel_backend`: the driver's
 * `cancel` (postgres 3.4.9) loses its promise, which then ends the process, and a timeout of the session does not pass
 * through a pooler.
 *
 * @param search where they run, with a connection for each.
 * @param api where they are ended.
 */
export function createSearchTurns({ search, api, inTime, totalMs = PATIENCE_MS }: Options): SearchTurns {
  const turns = createByteBudget(SEARCHES_AT_ONCE);
  const process = randomUUID();
  // As many as run at once, so that the texts of their statements are few, and prepared once.
  const marks = Array.from({ length: SEARCHES_AT_ONCE }, (_, n) => `/* search ${n} of ${process} */`);

  async function read<T extends Row[]>(
    mark: string,
    patienceMs: number,
    write: (sql: Sql, mark: PendingQuery<Row[]>) => PendingQuery<T>,
  ): Promise<T> {
    let ending: Promise<void> | undefined;
    let isOver = false;
    let timer = setTimeout(end, patienceMs);

    function end(): void {
      const ended = inTime(
        api`
          SELECT pg_cancel_backend(pid) FROM pg_stat_activity
          WHERE state = 'active' AND query LIKE ${`${mark}%`}`,
      );
      ending = ended
        .catch(() => {})
        .then(() => {
          if (!isOver) timer = setTimeout(end, END_AGAIN_MS);
        });
    }

    try {
      // It has been ended long before, unless its connection is dead.
      return await inTime(write(search, search.unsafe(mark)));
    } catch (error) {
      if (sqlStateOf(error) !== '57014' || ending === undefined) throw error;
      throw new MailgressError(
        'search_too_wide',
        `The search took longer than ${Math.round(patienceMs)} ms: ask for rarer words, or of one mailbox, placement or sender`,
      );
    } finally {
      isOver = true;
      clearTimeout(timer);
      // The next statement with this mark is not the one that it was to end.
      await ending;
    }
  }

  return async (tenant, work) => {
    const endsMs = performance.now() + totalMs;
    const giveBack = await turns.take(1, AbortSignal.timeout(WAIT_MS), tenant ?? undefined).catch(() => {
      const message = 'Too many searches are under way; search again shortly';
      throw new MailgressError('overloaded', message, { retryable: true });
    });
    const mark = marks.pop() ?? '';
    try {
      return await work({
        read: (patienceMs, write) =>
          read(mark, Math.max(0, Math.min(patienceMs, endsMs - performance.now())), write),
      });
    } finally {
      marks.push(mark);
      giveBack();
    }
  };
}
