import type { Logger } from 'pino';
import type { Config } from '../config.ts';
import { MailgressError } from '../core/errors.ts';
import { removeInstance, writeInstance } from '../ops/data-directory.ts';
import { type Service, startService } from '../service.ts';
import { openDatabase } from '../store/database.ts';
import { migrateDatabase, readSchemaState } from '../store/migrate.ts';
import { version } from '../version.ts';
import { type OpenedDatabase, openConfiguredDatabase } from './open-database.ts';

/**
 * Runs until SIGTERM or SIGINT: requests under way end, their mail is delivered or left for the next start, and the
 * database stops last.
 */
export async function serve(
  config: Config,
  options: { mode: 'own' | 'join'; migrate: boolean; dispatch: boolean; log: Logger },
): Promise<void> {
  const { log } = options;
  const stopRequested = awaitStopSignal();
  const say = (message: string) => log.info(message);
  const database = await openConfiguredDatabase(config, options.mode, say);
  try {
    if (options.migrate) await migrateDatabase(database.url);
    else await checkSchema(database.url, log);
    const service = await startService({
      databaseUrl: database.url,
      host: config.host,
      port: config.port,
      publicUrl: config.publicUrl,
      adminToken: database.adminToken,
      secretKeys: database.secretKeys,
      egressAllow: config.egressAllow,
      allowLoopback: config.database.kind === 'embedded',
      bodyLimitBytes: config.bodyLimitBytes,
      dispatch: options.dispatch,
      version,
      log,
    });
    try {
      await announce(service, database);
      const signal = await stopRequested;
      log.info({ signal }, 'stopping: requests and deliveries under way end first');
    } finally {
      await service.stop();
      if (database.dataDirectory !== undefined && database.owned)
        await removeInstance(database.dataDirectory);
    }
  } finally {
    await database.stop();
  }
  log.info('stopped');
}

async function announce(service: Service, { dataDirectory, owned }: OpenedDatabase): Promise<void> {
  const lines = [`Mailgress ${version} listens on ${service.address}`];
  if (dataDirectory !== undefined) {
    if (owned)
      await writeInstance(dataDirectory, { pid: process.pid, url: service.address, startedAt: new Date() });
    lines.push(
      `  admin key    ${dataDirectory}/admin-token`,
      `  data         ${dataDirectory}`,
      '  first mail   npm run mailgress -- send examples/hello.eml',
    );
  }
  if (service.publicUrl !== service.address) lines.splice(1, 0, `  public URL   ${service.publicUrl}`);
  process.stdout.write(`${lines.join('\n')}\n`);
}

/** @throws MailgressError `database_behind`. */
async function checkSchema(url: string, log: Logger): Promise<void> {
  const database = openDatabase(url);
  try {
    const schema = await readSchemaState(database.hot);
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

/**
 * The first SIGTERM or SIGINT. More of them change nothing for a moment, since npm and the terminal both send one;
 * a later one ends the process at once, for a person who will not wait.
 */
function awaitStopSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let firstMs: number | undefined;
    const onSignal = (signal: NodeJS.Signals) => {
      if (firstMs !== undefined && performance.now() - firstMs > 2000) process.exit(130);
      firstMs ??= performance.now();
      resolve(signal);
    };
    process.on('SIGTERM', onSignal);
    process.on('SIGINT', onSignal);
  });
}
