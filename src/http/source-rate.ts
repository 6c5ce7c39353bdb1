/** How much mail a source may push. In the memory of one process: with several, each lets so much through. */
export type SourceRate = {
  /** How long a push of this source has to wait, in ms; 0: it may come. */
  waitMs(source: string): number;
  /** Counts mails of a push that was let in and verified: what strangers send costs a source nothing. */
  take(source: string, mails: number): void;
};

/** A burst may be of so many seconds' mail. */
const BURST_S = 10;
/** Those that were busy last are remembered; one that is forgotten begins anew, with a whole burst. */
const MAX_SOURCES = 10_000;

/**
 * A bucket for each source: it fills by the second, and a batch may overdraw it, since it is known how many mails a batch has
 * only when it is here. The next one waits until that is paid back.
 *
 * @param perSecond 0: no limit.
 * @param nowMs a monotonic clock.
 */
export function createSourceRate(
  perSecond: number,
  { nowMs = () => performance.now(), maxSources = MAX_SOURCES } = {},
): SourceRate {
  if (perSecond === 0) return UNLIMITED;
  const burst = perSecond * BURST_S;
  const buckets = new Map<string, { mails: number; atMs: number }>();

  function leftOf(source: string): number {
    const bucket = buckets.get(source);
    if (bucket === undefined) return burst;
    return Math.min(burst, bucket.mails + ((nowMs() - bucket.atMs) * perSecond) / 1000);
  }

  return {
    waitMs(source) {
      const left = leftOf(source);
      return left > 0 ? 0 : Math.max(1, (-left * 1000) / perSecond);
    },
    take(source, mails) {
      const left = leftOf(source) - mails;
      buckets.delete(source);
      buckets.set(source, { mails: left, atMs: nowMs() });
      const [oldest] = buckets.keys();
      if (buckets.size > maxSources && oldest !== undefined) buckets.delete(oldest);
    },
  };
}

/**
 * The same, but that it never stands in the way by a fault of its own: a limit that throws, or says nonsense, lets everything
 * through. Losing mail to a bug here would be worse than too much of it.
 *
 * @param onFault told at most once a minute.
 */
export function failOpen(
  rate: SourceRate,
  onFault: (error: unknown) => void,
  nowMs: () => number = () => performance.now(),
): SourceRate {
  let toldAtMs = Number.NEGATIVE_INFINITY;

  function guard<T>(work: () => T, otherwise: T): T {
    try {
      return work();
    } catch (error) {
      if (nowMs() - toldAtMs >= 60_000) {
        toldAtMs = nowMs();
        onFault(error);
      }
      return otherwise;
    }
  }

  return {
    waitMs: (source) =>
      guard(() => {
        const waitMs = rate.waitMs(source);
        if (!Number.isFinite(waitMs) || waitMs < 0) throw new Error(`a wait of ${waitMs} ms`);
        return waitMs;
      }, 0),
    take: (source, mails) => guard(() => rate.take(source, mails), undefined),
  };
}

export const UNLIMITED: SourceRate = { waitMs: () => 0, take: () => {} };
