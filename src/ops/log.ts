import { createRequire } from 'node:module';
import { type DestinationStream, type Logger, pino } from 'pino';
import type pretty from 'pino-pretty';

/**
 * The process's log, on standard error, so that what a command prints stays its own: lines for a person on a
 * terminal, JSON elsewhere. What is logged is ids, counts, codes and times; never mail, a secret, or an object that
 * may hold one.
 */
export function createLog(level: string, destination?: DestinationStream): Logger {
  const options = {
    level,
    base: null,
    formatters: { level: (label: string) => ({ level: label }) },
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
  };
  return pino(options, destination ?? standardError());
}

function standardError(): DestinationStream {
  if (!process.stderr.isTTY) return pino.destination({ dest: 2, sync: false });
  // Loaded where there is a terminal, which services have none of.
  const print: typeof pretty = createRequire(import.meta.url)('pino-pretty');
  return print({
    destination: 2,
    sync: true,
    colorize: process.stderr.hasColors(),
    translateTime: 'SYS:HH:MM:ss.l',
    singleLine: true,
  });
}
