/** What comes while idling is a line for each change; each costs the process a moment, and a server could send them without end. */
const MAX_BYTES = 1024 * 1024;
const LOOK_MS = 1000;

/**
 * Watches what comes unasked, from now on. Looked at by a timer, and whenever a caller knows of more: a flood may keep the timer
 * waiting.
 *
 * @param readBytes how many have come so far.
 * @param onFlood called once, when it is too much.
 */
export function watchForFlood(
  readBytes: () => number,
  onFlood: () => void,
): { look: () => void; stop: () => void } {
  const before = readBytes();
  const timer = setInterval(look, LOOK_MS).unref();
  let isOver = false;

  function look(): void {
    if (isOver || readBytes() - before <= MAX_BYTES) return;
    stop();
    onFlood();
  }

  function stop(): void {
    isOver = true;
    clearInterval(timer);
  }

  return { look, stop };
}
