import type { Logger } from 'pino';
import type { Config } from '../config.ts';
import { MailgressError } from '../core/errors.ts';
import type { CoreOptions } from '../service-base.ts';
import { openDatabase } from '../store/database.ts';
import { waitForMigration } from '../store/migrate.ts';
import { version } from '../version.ts';
import type { OpenedDatabase } from './open-database.ts';

/** What `serve` and `worker` have in common of the configuration. */
export function coreOptionsOf(config: Config, database: OpenedDatabase, log: Logger): CoreOptions {
  return {
    databaseUrl: database.url,
    secretKeys: database.secretKeys,
    egressAllow: config.egressAllow,
    allowLoopback: config.database.kind === 'embedded',
    bodyLimitBytes: config.bodyLimitBytes,
    google: config.google,
    microsoft: config.microsoft,
    version,
    log,
  };
}

/**
 * Waits for a migration that is under way.
 *
 * @throws MailgressError `database_behind` when nobody migrates.
 */
export async function checkSchema(url: string, log: Logger): Promise<void> {
  const database = openDatabase(url);
  try {
    const schema = await waitForMigration(database.hot, (message) => log.info(message));
    if (schema.state === 'behind') {
      throw new MailgressError(
        'database_behind',
        `The database lacks ${schema.missing} migrations: run \`mailgress migrate\`, or \`serve --migrate\``,
      );
    }
    if (schema.state === 'ahead') log.warn('the database was migrated by a newer version; going on with it');
  } finally {
    await database.close();
  }
}
