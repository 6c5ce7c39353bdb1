import { setTimeout as wait } from 'node:timers/promises';

/** What a call costs, in quota units of Gmail (https://developers.google.com/workspace/gmail/api/reference/quota). */
export const UNITS = { get: 20, history: 2, list: 5, profile: 1, watch: 100, stop: 50 } as const;

export type Bucket = {
  /** Waits until there is room for so many units, in the order of the calls. */
  take(units: number, signal: AbortSignal): Promise<void>;
};

/**
 * A token bucket, as the generic cell rate algorithm has it: one number, when the bucket would be full again.
 *
 * @param unitsPerMinute what flows in; @param burst what it holds. Together they are the most of any minute.
 */
export function createBucket(
  { unitsPerMinute, burst }: { unitsPerMinute: number; burst: number },
  nowMs: () => number = () => performance.now(),
  pause: (ms: number, signal: AbortSignal) => Promise<void> = (ms, signal) => wait(ms, undefined, { signal }),
): Bucket {
  const msPerUnit = 60_000 / unitsPerMinute;
  const burstMs = burst * msPerUnit;
  let fullAgainMs = Number.NEGATIVE_INFINITY;
  return {
    async take(units, signal) {
      const now = nowMs();
      fullAgainMs = Math.max(fullAgainMs, now) + units * msPerUnit;
      const waitMs = fullAgainMs - burstMs - now;
      if (waitMs > 0) await pause(waitMs, signal);
    },
  };
}
