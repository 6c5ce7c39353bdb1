import type { Logger } from 'pino';
import type { Config } from '../config.ts';
import { MailgressError } from '../core/errors.ts';
import { type Id, isId } from '../core/ids.ts';
import { version } from '../version.ts';
import { startWorker } from '../worker.ts';
import { checkSchema, coreOptionsOf } from './core-options.ts';
import { openConfiguredDatabase } from './open-database.ts';
import { STARTING_PATIENCE_MS, unlessStopped, watchStopSignal } from './stop-signal.ts';

/** Sessions under way are ended in order within this; then the process ends all the same, and their leases by themselves. */
const STOP_PATIENCE_MS = 9000;

/**
 * Holds IMAP sessions until SIGTERM or SIGINT: they say goodbye then, and their sources are given back. As `serve`, end the
 * process when this resolves.
 *
 * @param source one source alone.
 */
export async function work(
  config: Config,
  { source, capacity, log }: { source: string | undefined; capacity: string | undefined; log: Logger },
): Promise<void> {
  const only = source === undefined ? undefined : parseSource(source);
  const limit = capacity === undefined ? undefined : parseCapacity(capacity);
  const stop = watchStopSignal();
  const opening = openConfiguredDatabase(config, 'join', (message) => log.info(message));
  const database = await unlessStopped(opening, stop, STARTING_PATIENCE_MS);
  try {
    if (database === undefined) return;
    await unlessStopped(checkSchema(database.url, log), stop, 0);
    if (stop.received() !== undefined) return;
    const worker = await startWorker({ ...coreOptionsOf(config, database, log), only, capacity: limit });
    process.stdout.write(
      `Mailgress ${version} reads ${only === undefined ? 'sources of kind imap' : `source ${only}`}\n`,
    );
    const signal = await stop.requested;
    log.info({ signal }, 'stopping: sessions end first');
    await Promise.race([worker.stop(), new Promise((resolve) => setTimeout(resolve, STOP_PATIENCE_MS))]);
  } finally {
    await database?.stop();
  }
  log.info({ signal: stop.received() }, 'stopped');
}

/** @throws MailgressError `usage` */
function parseSource(text: string): Id<'src'> {
  if (isId('src', text)) return text;
  throw new MailgressError('usage', `--source ${text}: must be an id, src_ and 32 hex digits`);
}

/** @throws MailgressError `usage` */
function parseCapacity(text: string): number {
  if (/^[1-9]\d{0,5}$/.test(text)) return Number(text);
  throw new MailgressError('usage', `--capacity ${text}: must be a whole number from 1 to 999999`);
}
