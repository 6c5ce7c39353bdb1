import type { Logger } from 'imapflow';

/**
 * What imapflow says in its log alone. It waits for minutes where a server asks for patience: the session is over then, its source
 * waits instead, and the account's others with it. And it passes over rows that it cannot parse: each is a mail.
 */
export function listenToLog({
  onThrottled,
  onUnreadable,
}: {
  onThrottled: (error: object) => void;
  onUnreadable: () => void;
}): Logger {
  const ignore = () => {};
  return {
    trace: ignore,
    debug: ignore,
    info: ignore,
    error(entry: unknown) {
      const isLine = typeof entry === 'object' && entry !== null && 'payloadBytes' in entry && 'msg' in entry;
      // Whatever it begins with: that may be what is broken.
      if (isLine) onUnreadable();
    },
    fatal: ignore,
    warn(entry: unknown) {
      const isThrottled =
        typeof entry === 'object' && entry !== null && 'err' in entry && 'throttleDelay' in entry;
      if (!isThrottled || typeof entry.err !== 'object' || entry.err === null) return;
      onThrottled({ ...entry.err, throttleWaited: 0 });
    },
  };
}
