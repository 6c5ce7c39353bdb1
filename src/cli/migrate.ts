import type { Config } from '../config.ts';
import { migrateDatabase } from '../store/migrate.ts';
import { openConfiguredDatabase } from './open-database.ts';

export async function migrate(config: Config): Promise<void> {
  const say = (message: string) => process.stderr.write(`${message}\n`);
  const database = await openConfiguredDatabase(config, 'join', say);
  try {
    await migrateDatabase(database.url);
    process.stdout.write('The database is up to date.\n');
  } finally {
    await database.stop();
  }
}
