/** A number of bytes that may be in memory at once; who wants more waits, in the order they came. */
export type ByteBudget = {
  /**
   * Resolves once `bytes` are free; more than there are in all count as all of them.
   *
   * @param signal who waits no longer leaves the row; the promise rejects with its reason.
   * @returns gives them back, all but `keepBytes` (none). Once all are given back, a further call does nothing.
   */
  take(bytes: number, signal?: AbortSignal): Promise<(keepBytes?: number) => void>;
};

export function createByteBudget(totalBytes: number): ByteBudget {
  const waiting: { bytes: number; start: () => void }[] = [];
  let freeBytes = totalBytes;

  function startWaiting(): void {
    for (let next = waiting[0]; next !== undefined && next.bytes <= freeBytes; next = waiting[0]) {
      waiting.shift();
      freeBytes -= next.bytes;
      next.start();
    }
  }

  return {
    async take(wantedBytes, signal) {
      signal?.throwIfAborted();
      let bytes = Math.min(wantedBytes, totalBytes);
      await new Promise<void>((resolve, reject) => {
        const one = { bytes, start };
        function start() {
          signal?.removeEventListener('abort', leave);
          resolve();
        }
        function leave() {
          waiting.splice(waiting.indexOf(one), 1);
          reject(signal?.reason);
          startWaiting();
        }
        signal?.addEventListener('abort', leave, { once: true });
        waiting.push(one);
        startWaiting();
      });
      return (keepBytes = 0) => {
        const keptBytes = Math.min(keepBytes, bytes);
        freeBytes += bytes - keptBytes;
        bytes = keptBytes;
        startWaiting();
      };
    },
  };
}
