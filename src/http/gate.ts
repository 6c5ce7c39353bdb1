/**
 * How many pushes are worked on at a time: as many as the store takes in good time. The rest is told to come again at once,
 * before its body is read, instead of waiting in a queue that only grows.
 */
export type Gate = {
  /** Whether a push of this source would be refused now. Takes no place: nobody holds one while his body trickles in. */
  isFull(source: string): boolean;
  /**
   * Takes a place, if there is one. Call `leave` once, whatever becomes of the push: `wasStored` is false for one that was
   * refused for its own sake, which tells nothing of the store.
   */
  enter(source: string): { leave(wasStored: boolean): void } | undefined;
  /** Pushes at work, and how many there may be now. */
  use(): { busy: number; limit: number };
};

/** A push should be stored within this; then hardly one takes a second. */
const TARGET_MS = 400;
/** Below, the store keeps up, and it does not matter how many there are. A single large mail takes some 100 ms. */
const EASY_MS = TARGET_MS / 2;
/** At 16 a group commit still has groups; and so many find out, while the rest is refused, when a store that was away is back. */
const MIN_LIMIT = 16;
/** What the fastest store takes in a third of `TARGET_MS`; a burst of so many waits for its turn without a 503. */
const MAX_LIMIT = 1024;
/** A process that has just started is slow itself, and knows nothing of its store; nor does one at which hardly anything comes. */
const FIRST_LIMIT = 256;
/** Between two looks there is something to see. */
const LOOK_MS = 100;
const MIN_SAMPLES = 8;
const MAX_SAMPLES = 512;
/** From one look to the next, when the store keeps up. */
const GROWTH = 1.25;
/** A source that has more than its fair share gets none of the last fifth, so that others find a place. */
const SHARED = 0.8;

/**
 * Each push that ends tells how fast the store is: those that were at work when it came, in the time that it took (Little's
 * law). The limit is what the store then does in `TARGET_MS`; where pushes take no time worth speaking of it grows instead,
 * beyond `FIRST_LIMIT` only once so many were at work: that a few are stored quickly tells nothing of a thousand.
 * It is known before a queue has built up, and does not swing, since it is not the limit that is measured. The median counts:
 * a large mail rightly takes its time.
 *
 * A source's fair share is one part of the limit among those that are at work and one more. Beyond it a source is let in
 * only while a fifth is free: a noisy one leaves room for the others, and alone it has nearly all.
 *
 * @param nowMs a monotonic clock.
 */
export function createGate({
  minLimit = MIN_LIMIT,
  maxLimit = MAX_LIMIT,
  nowMs = () => performance.now(),
} = {}): Gate {
  const busyBySource = new Map<string, number>();
  let busy = 0;
  let limit = Math.min(FIRST_LIMIT, maxLimit);
  /** The most that were at work since the last look. */
  let peak = 0;
  let samples: { tookMs: number; inTarget: number }[] = [];
  let lookAtMs = nowMs() + LOOK_MS;

  function isFull(source: string): boolean {
    const own = busyBySource.get(source) ?? 0;
    const others = busyBySource.size - (own > 0 ? 1 : 0);
    const isOverFairShare = own >= limit / (others + 2);
    return busy >= (isOverFairShare ? limit * SHARED : limit);
  }

  function note(tookMs: number, busyThen: number): void {
    const now = nowMs();
    if (samples.length < MAX_SAMPLES) {
      samples.push({ tookMs, inTarget: (busyThen * TARGET_MS) / Math.max(tookMs, 1) });
    }
    if (now < lookAtMs || samples.length < MIN_SAMPLES) return;
    const isEasy = median(samples.map((sample) => sample.tookMs)) < EASY_MS;
    // A source that is alone does not get more.
    const wasUsed = peak >= limit * SHARED;
    const grown = wasUsed ? limit * GROWTH : Math.max(limit, Math.min(FIRST_LIMIT, limit * GROWTH));
    const wanted = isEasy ? grown : median(samples.map(({ inTarget }) => inTarget));
    limit = Math.min(maxLimit, Math.max(minLimit, wanted));
    samples = [];
    peak = busy;
    lookAtMs = now + LOOK_MS;
  }

  return {
    isFull,
    enter(source) {
      if (isFull(source)) return undefined;
      busy++;
      busyBySource.set(source, (busyBySource.get(source) ?? 0) + 1);
      peak = Math.max(peak, busy);
      const busyThen = busy;
      const enteredMs = nowMs();
      return {
        leave(wasStored) {
          busy--;
          const left = (busyBySource.get(source) ?? 1) - 1;
          if (left > 0) busyBySource.set(source, left);
          else busyBySource.delete(source);
          if (wasStored) note(nowMs() - enteredMs, busyThen);
        },
      };
    },
    use: () => ({ busy, limit: Math.floor(limit) }),
  };
}

const median = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
