import type { Config } from '../config.ts';
import { migrateDatabase } from '../store/migrate.ts';
import { openConfiguredDatabase } from './open-database.ts';
import { STARTING_PATIENCE_MS, unlessStopped, watchStopSignal } from './stop-signal.ts';

/**
 * Migrates the configured database. SIGTERM or SIGINT cuts it off, which undoes it; an embedded database that was
 * started for it is stopped in any case.
 *
 * @returns whether it was done, and not cut off. Then end the process: work that nobody waits for may still run.
 */
export async function migrate(config: Config): Promise<boolean> {
  const stop = watchStopSignal();
  const say = (message: string) => process.stderr.write(`${message}\n`);
  const opening = openConfiguredDatabase(config, 'join', say);
  const database = await unlessStopped(opening, stop, STARTING_PATIENCE_MS);
  try {
    if (database !== undefined) await unlessStopped(migrateDatabase(database.url, say), stop, 0);
  } finally {
    await database?.stop();
  }
  if (stop.received() !== undefined) return false;
  process.stdout.write('The database is up to date.\n');
  return true;
}
