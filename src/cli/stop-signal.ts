/** The first SIGTERM or SIGINT, for whoever asks and whoever waits. */
export type StopSignal = {
  /** Which one came; undefined before. */
  received(): NodeJS.Signals | undefined;
  /** Resolves when it comes. */
  requested: Promise<NodeJS.Signals>;
};

/** After the signal, what start-up has begun has so long to be done; container runtimes give 10 s in all. */
export const STARTING_PATIENCE_MS = 8000;

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

/**
 * The value of a step of the start-up, or undefined when the stop signal came before it was there: `patienceMs` later
 * at the most, the step being left to itself. What it fails with after the signal is no fault: Ctrl-C in a terminal
 * ends our child processes too.
 */
export async function unlessStopped<T>(
  step: Promise<T>,
  stop: StopSignal,
  patienceMs: number,
): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const outOfPatience = stop.requested.then(
    () =>
      new Promise<undefined>((resolve) => {
        timer = setTimeout(resolve, patienceMs, undefined);
      }),
  );
  const done = step.catch((error: unknown) => {
    if (stop.received() === undefined) throw error;
    return undefined;
  });
  try {
    return await Promise.race([done, outOfPatience]);
  } finally {
    clearTimeout(timer);
  }
}
