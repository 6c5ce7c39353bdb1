import type { Config } from '../config.ts';
import { MailgressError } from '../core/errors.ts';
import { copyDatabase } from '../store/copy-database.ts';
import { openConfiguredDatabase } from './open-database.ts';
import { STARTING_PATIENCE_MS, unlessStopped, watchStopSignal } from './stop-signal.ts';

/**
 * Copies between the configured database, which nothing may run on, and another one. SIGTERM or SIGINT cuts it off, which leaves the
 * target as it was.
 *
 * @returns whether it was done, and not cut off. Then end the process: work that nobody waits for may still run.
 */
export async function copy(
  config: Config,
  { from, to, force }: { from?: string; to?: string; force?: boolean },
): Promise<boolean> {
  const other = from ?? to;
  if (other === undefined || (from !== undefined && to !== undefined)) {
    throw new MailgressError(
      'usage',
      'Say one of --from URL and --to URL: the other side is the configured database, DATABASE_URL or the embedded one',
    );
  }
  expectDatabaseUrl(from === undefined ? '--to' : '--from', other);
  const stop = watchStopSignal();
  const say = (message: string) => process.stderr.write(`${message}\n`);
  const database = await unlessStopped(
    openConfiguredDatabase(config, 'own', say),
    stop,
    STARTING_PATIENCE_MS,
  );
  try {
    if (database !== undefined) {
      const [source, target] = from === undefined ? [database.url, other] : [other, database.url];
      const copying = copyDatabase(source, target, (table, rows) => say(`${table}: ${rows}`), {
        force,
      });
      await unlessStopped(copying, stop, 0);
    }
  } finally {
    await database?.stop();
  }
  if (stop.received() !== undefined) return false;
  process.stdout.write(
    'All is copied. MAILGRESS_SECRET_KEY has to be the same there: what is sealed opens with it alone.\n',
  );
  return true;
}

/** @throws MailgressError `usage`, without the URL: it holds a password. */
function expectDatabaseUrl(option: string, text: string): void {
  if (/^postgres(ql)?:$/.test(URL.parse(text)?.protocol ?? '')) return;
  throw new MailgressError('usage', `${option}: must be a URL that begins with postgres:// or postgresql://`);
}
