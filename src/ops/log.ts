import { type DestinationStream, type Logger, pino } from 'pino';

/**
 * The process's log: JSON lines on standard error, so that what a command prints stays its own. What is logged is
 * ids, counts, codes and times; never mail, a secret, or an object that may hold one.
 */
export function createLog(level: string, destination?: DestinationStream): Logger {
  const options = {
    level,
    base: null,
    formatters: { level: (label: string) => ({ level: label }) },
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
  };
  return pino(options, destination ?? pino.destination({ dest: 2, sync: false }));
}
