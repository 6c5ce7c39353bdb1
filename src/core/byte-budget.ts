/** A number of bytes that may be in memory at once; who wants more waits, in the order they came. */
export type ByteBudget = {
  /**
   * Resolves once `bytes` are free; more than there are in all count as all of them.
   *
   * @returns gives them back; a second call does nothing.
   */
  take(bytes: number): Promise<() => void>;
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
    async take(wantedBytes) {
      let bytes = Math.min(wantedBytes, totalBytes);
      await new Promise<void>((start) => {
        waiting.push({ bytes, start });
        startWaiting();
      });
      return () => {
        freeBytes += bytes;
        bytes = 0;
        startWaiting();
      };
    },
  };
}
