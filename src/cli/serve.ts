import type { Logger } from 'pino';
import type { Config } from '../config.ts';
import { removeInstance, writeInstance } from '../ops/data-directory.ts';
import { type Service, startService } from '../service.ts';
import { migrateDatabase } from '../store/migrate.ts';
import { version } from '../version.ts';
import { checkSchema, coreOptionsOf } from './core-options.ts';
import { firstMailPath } from './first-mail.ts';
import { type OpenedDatabase, openConfiguredDatabase, requireAdminToken } from './open-database.ts';
import { STARTING_PATIENCE_MS, type StopSignal, unlessStopped, watchStopSignal } from './stop-signal.ts';

type ServeOptions = {
  mode: 'own' | 'join';
  migrate: boolean;
  dispatch: boolean;
  /** IMAP sessions too. */
  imap: boolean;
  log: Logger;
};

/**
 * Runs until SIGTERM or SIGINT: requests under way end, their mail is delivered or left for the next start, and the
 * database stops last.
 *
 * A signal during start-up ends that. An embedded database that is just being created or started is waited for, to
 * be stopped in order; one that takes too long is left, and a migration is cut off: as after a kill, the next start
 * goes on from there. Work that nobody waits for may then still run: end the process when this resolves.
 */
export async function serve(config: Config, options: ServeOptions): Promise<void> {
  const { log } = options;
  const stop = watchStopSignal();
  const opening = openConfiguredDatabase(config, options.mode, (message) => log.info(message));
  const database = await unlessStopped(opening, stop, STARTING_PATIENCE_MS);
  try {
    if (database !== undefined) await serveOn(database, config, stop, options);
  } finally {
    await database?.stop();
  }
  log.info({ signal: stop.received() }, 'stopped');
}

async function serveOn(
  database: OpenedDatabase,
  config: Config,
  stop: StopSignal,
  { migrate, dispatch, imap, log }: ServeOptions,
): Promise<void> {
  const say = (message: string) => log.info(message);
  await unlessStopped(migrate ? migrateDatabase(database.url, say) : checkSchema(database.url, log), stop, 0);
  if (stop.received() !== undefined) return;
  const starting = startService({
    ...coreOptionsOf(config, database, log),
    host: config.host,
    port: config.port,
    publicUrl: config.publicUrl,
    adminToken: requireAdminToken(database),
    metricsToken: config.metricsToken,
    mailsPerSecond: config.mailsPerSecond,
    dispatch,
    imap,
    pubsub: config.pubsub && {
      ...config.pubsub,
      issuer: config.google.issuer,
      certsUrl: config.google.certsUrl,
    },
  });
  const service = await unlessStopped(starting, stop, STARTING_PATIENCE_MS);
  if (service === undefined) return;
  try {
    if (stop.received() === undefined) await announce(service, database);
    const signal = await stop.requested;
    log.info({ signal }, 'stopping: requests and deliveries under way end first');
  } finally {
    await service.stop();
    if (database.dataDirectory !== undefined && database.owned) await removeInstance(database.dataDirectory);
  }
}

async function announce(service: Service, { dataDirectory, owned }: OpenedDatabase): Promise<void> {
  const lines = [`Mailgress ${version} listens on ${service.address}`];
  if (dataDirectory !== undefined) {
    if (owned)
      await writeInstance(dataDirectory, { pid: process.pid, url: service.address, startedAt: new Date() });
    lines.push(
      `  admin key    ${dataDirectory}/admin-token`,
      `  data         ${dataDirectory}`,
      `  first mail   npx mailgress send ${firstMailPath()}`,
    );
  }
  if (service.publicUrl !== service.address) lines.splice(1, 0, `  public URL   ${service.publicUrl}`);
  process.stdout.write(`${lines.join('\n')}\n`);
}
