/** So many at once, the others wait in the order they came. */
export type Limit = {
  /** @param signal who waits no longer leaves the row, and nothing is run; the promise rejects with its reason. */
  run<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T>;
};

export function createLimit(places: number): Limit {
  const waiting: (() => void)[] = [];
  let free = places;

  function wait(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const start = () => {
        signal?.removeEventListener('abort', leave);
        resolve();
      };
      const leave = () => {
        waiting.splice(waiting.indexOf(start), 1);
        reject(signal?.reason);
      };
      signal?.addEventListener('abort', leave, { once: true });
      waiting.push(start);
    });
  }

  return {
    async run(work, signal) {
      signal?.throwIfAborted();
      if (free > 0) free--;
      else await wait(signal);
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

/** A limit for each key. One that nobody uses is not kept. */
export function createLimits(places: number): {
  run<T>(key: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T>;
  /** How many keys are in use. */
  size(): number;
} {
  const byKey = new Map<string, { limit: Limit; users: number }>();
  return {
    size: () => byKey.size,
    async run(key, work, signal) {
      const one = byKey.get(key) ?? { limit: createLimit(places), users: 0 };
      byKey.set(key, one);
      one.users++;
      try {
        return await one.limit.run(work, signal);
      } finally {
        one.users--;
        if (one.users === 0) byKey.delete(key);
      }
    },
  };
}
