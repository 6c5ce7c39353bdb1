/** So many at once, the others wait in the order they came. */
export type Limit = { run<T>(work: () => Promise<T>): Promise<T> };

export function createLimit(places: number): Limit {
  const waiting: (() => void)[] = [];
  let free = places;
  return {
    async run(work) {
      if (free > 0) free--;
      else await new Promise<void>((resolve) => waiting.push(resolve));
      try {
        return await work();
      } finally {
        // The place goes to the next, without being free in between.
        const next = waiting.shift();
        if (next === undefined) free++;
        else next();
      }
    },
  };
}
