import type { Database } from './database.ts';

/** The channel that tells other processes that events were appended. */
export const EVENTS_CHANNEL = 'mailgress_events';

/** How often it rings at most. Between, others hear of an event by the next one, or by their own poll. */
const RING_MS = 250;

export type FeedBell = {
  /** Call after a commit that appended events. */
  ring(): void;
  stop(): void;
};

/**
 * Tells other processes that there are new events. In a statement of its own and not with every commit: NOTIFY takes a
 * lock of the whole database, which would be held until the mail of that commit is on the disk. A ring that is lost
 * costs a listener the time until its poll.
 */
export function createFeedBell({ hot }: Database): FeedBell {
  let timer: NodeJS.Timeout | undefined;
  let isWanted = false;
  let isStopped = false;

  function ring(): void {
    isWanted = true;
    if (timer !== undefined || isStopped) return;
    isWanted = false;
    timer = setTimeout(() => {
      timer = undefined;
      if (isWanted) ring();
    }, RING_MS);
    // Nobody waits for the disk because of a hint.
    void hot`SELECT set_config('synchronous_commit', 'off', true), pg_notify(${EVENTS_CHANNEL}, '')`.catch(
      () => {},
    );
  }

  return {
    ring,
    stop() {
      isStopped = true;
      clearTimeout(timer);
    },
  };
}
