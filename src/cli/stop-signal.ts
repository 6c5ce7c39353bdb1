/** The first SIGTERM or SIGINT, for whoever asks and whoever waits. */
export type StopSignal = {
  /** Which one came; undefined before. */
  received(): NodeJS.Signals | undefined;
  /** Resolves when it comes. */
  requested: Promise<NodeJS.Signals>;
};

/** npm and the terminal both send one, and a person may press twice: within this it counts as one. */
const ECHO_MS = 2000;

/**
 * From now on SIGTERM and SIGINT no longer end the process by themselves. A later one, after the first, ends it at
 * once, for a person who will not wait.
 */
export function watchStopSignal(): StopSignal {
  const { promise, resolve } = Promise.withResolvers<NodeJS.Signals>();
  let first: { signal: NodeJS.Signals; atMs: number } | undefined;
  const onSignal = (signal: NodeJS.Signals) => {
    if (first !== undefined && performance.now() - first.atMs > ECHO_MS) process.exit(130);
    first ??= { signal, atMs: performance.now() };
    resolve(signal);
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  return { received: () => first?.signal, requested: promise };
}

/** The value, or undefined when the stop signal came, and `patienceMs` passed, before it was there. */
export async function unlessStopped<T>(
  work: Promise<T>,
  stop: StopSignal,
  patienceMs: number,
): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const stopped = stop.requested.then(
    () =>
      new Promise<undefined>((resolve) => {
        timer = setTimeout(() => resolve(undefined), patienceMs);
      }),
  );
  // Given up, it may still fail.
  work.catch(() => {});
  try {
    return await Promise.race([work, stopped]);
  } finally {
    clearTimeout(timer);
  }
}
