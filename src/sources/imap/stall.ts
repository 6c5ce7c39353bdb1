/**
 * Watches an answer of many bytes. Its deadline is made for the slowest server that is put up with; one that is gone, or sends
 * a byte now and then, is to be noticed before that, for the memory of the answer is taken all the while.
 *
 * @param received how many bytes have come so far, ever.
 * @param graceMs how long none may come, and after how long the rate counts.
 * @param onStall called once when nothing comes, or too little.
 * @returns ends the watch.
 */
export function watchForStall(
  received: () => number,
  { leastBytesPerSecond, graceMs }: { leastBytesPerSecond: number; graceMs: number },
  onStall: () => void,
): () => void {
  const startedMs = performance.now();
  const bytesBefore = received();
  let lastBytes = bytesBefore;
  let lastMs = startedMs;
  const timer = setInterval(() => {
    const bytes = received();
    const nowMs = performance.now();
    if (bytes > lastBytes) lastMs = nowMs;
    lastBytes = bytes;
    const leastBytes = ((nowMs - startedMs - graceMs) / 1000) * leastBytesPerSecond;
    if (nowMs - lastMs < graceMs && bytes - bytesBefore >= leastBytes) return;
    clearInterval(timer);
    onStall();
  }, graceMs / 9);
  return () => clearInterval(timer);
}

/**
 * Calls `onBytes` each second in which bytes came: a large mail may take longer to come than an outage that is told of.
 *
 * @param received as for `watchForStall`, which bounds how long that may go on.
 * @returns ends the watch.
 */
export function watchProgress(received: () => number, onBytes: () => void): () => void {
  let lastBytes = received();
  const timer = setInterval(() => {
    const bytes = received();
    if (bytes > lastBytes) onBytes();
    lastBytes = bytes;
  }, 1000);
  return () => clearInterval(timer);
}
