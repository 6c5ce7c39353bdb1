/** Pseudo-random numbers of a seed: whole ones below `limit`. */
export type Random = { below(limit: number): number; pick<T>(items: readonly T[]): T };

/** mulberry32: 32 bits of state, good enough to spread what a test does. */
export function createRandom(seed: number): Random {
  let state = seed | 0;
  const below = (limit: number) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * limit);
  };
  // The cast holds: the index is one of the array's, and no array here is empty.
  const pick = <T>(items: readonly T[]) => items[below(items.length)] as T;
  return { below, pick };
}
