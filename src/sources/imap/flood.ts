/**
 * Watches how much comes, from now on. Looked at by a timer, and whenever a caller knows of more: a flood may keep the timer
 * waiting.
 *
 * @param readBytes how many have come so far.
 * @param mostBytes each line costs the process a moment, and a server could send them without end.
 * @param lookMs how often it is looked at.
 * @param onFlood called once, when it is too much.
 */
export function watchForFlood(
  readBytes: () => number,
  { mostBytes, lookMs }: { mostBytes: number; lookMs: number },
  onFlood: () => void,
): { look: () => void; stop: () => void } {
  const before = readBytes();
  const timer = setInterval(look, lookMs).unref();
  let isOver = false;

  function look(): void {
    if (isOver || readBytes() - before <= mostBytes) return;
    stop();
    onFlood();
  }

  function stop(): void {
    isOver = true;
    clearInterval(timer);
  }

  return { look, stop };
}
