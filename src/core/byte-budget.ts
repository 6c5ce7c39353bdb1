/** A number of bytes that may be in memory at once; who wants more waits, in the order they came. */
export type ByteBudget = {
  /**
   * Resolves once `bytes` are free; more than there are in all count as all of them.
   *
   * @param signal who waits no longer leaves the row; the promise rejects with its reason.
   * @param holder of one name no more than half is taken at a time, unless by one take alone; others pass it meanwhile.
   * @returns gives them back, all but `keepBytes` (none). Once all are given back, a further call does nothing.
   */
  take(bytes: number, signal?: AbortSignal, holder?: string): Promise<(keepBytes?: number) => void>;
};

type Waiting = { bytes: number; holder: string | undefined; start: () => void };

export function createByteBudget(totalBytes: number): ByteBudget {
  const waiting = new Set<Waiting>();
  const heldBytes = new Map<string, number>();
  let freeBytes = totalBytes;

  function startWaiting(): void {
    for (const next of waiting) {
      if (hasItsPart(next)) continue;
      // Nobody passes who came later: a large one would be starved by small ones.
      if (next.bytes > freeBytes) return;
      waiting.delete(next);
      move(next.holder, next.bytes);
      next.start();
    }
  }

  function hasItsPart({ bytes, holder }: Waiting): boolean {
    const held = holder === undefined ? 0 : (heldBytes.get(holder) ?? 0);
    return held > 0 && held + bytes > totalBytes / 2;
  }

  /** From what is free to a holder; back, if it is less than 0. */
  function move(holder: string | undefined, bytes: number): void {
    freeBytes -= bytes;
    if (holder === undefined) return;
    const held = (heldBytes.get(holder) ?? 0) + bytes;
    if (held > 0) heldBytes.set(holder, held);
    else heldBytes.delete(holder);
  }

  return {
    async take(wantedBytes, signal, holder) {
      signal?.throwIfAborted();
      let bytes = Math.min(wantedBytes, totalBytes);
      await new Promise<void>((resolve, reject) => {
        const one = { bytes, holder, start };
        function start() {
          signal?.removeEventListener('abort', leave);
          resolve();
        }
        function leave() {
          waiting.delete(one);
          reject(signal?.reason);
          startWaiting();
        }
        signal?.addEventListener('abort', leave, { once: true });
        waiting.add(one);
        startWaiting();
      });
      return (keepBytes = 0) => {
        const keptBytes = Math.min(keepBytes, bytes);
        move(holder, keptBytes - bytes);
        bytes = keptBytes;
        startWaiting();
      };
    },
  };
}
