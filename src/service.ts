import { once } from 'node:events';
import { isIP } from 'node:net';
import { createAdaptorServer, type ServerType } from '@hono/node-server';
import type { Logger } from 'pino';
import { describeError, MailgressError } from './core/errors.ts';
import { createKeyring } from './core/sealed.ts';
import { DELIVERIES_CHANNEL, MAX_IN_FLIGHT, startDispatcher } from './deliver/dispatcher.ts';
import { createEgress } from './deliver/egress.ts';
import { createPoster } from './deliver/post.ts';
import { createApp } from './http/app.ts';
import { createIngest } from './ingest.ts';
import { createMailCommit } from './store/commit-mails.ts';
import { openDatabase } from './store/database.ts';
import { rememberSources } from './store/ingress-sources.ts';
import { resealSecrets } from './store/secrets.ts';
import { createActivityRecorder } from './store/source-activity.ts';
import { findIngressSource } from './store/sources.ts';
import { describeStoreError } from './store/unavailable.ts';

export type ServiceOptions = {
  databaseUrl: string;
  host: string;
  port: number;
  publicUrl: string | undefined;
  adminToken: string;
  secretKeys: readonly string[];
  egressAllow: readonly string[];
  allowLoopback: boolean;
  bodyLimitBytes: number;
  dispatch: boolean;
  version: string;
  log: Logger;
  /** For tests: the draw for the jitter of retries, and how often the dispatcher looks without being told. */
  random?: () => number;
  scanIntervalMs?: number;
};

export type Service = {
  /** Where it listens, `http://host:port`. */
  address: string;
  /** Under which URL others reach it. */
  publicUrl: string;
  /** Ends requests under way, then deliveries under way, then lets go of the database. */
  stop(): Promise<void>;
};

/** Requests under way at a stop have so long to end; with the deliveries that follow, Render's 30 s are kept. */
const DRAIN_MS = 10_000;

/**
 * Runs the service on a migrated database: everything in one process, wired here and nowhere else.
 *
 * @throws MailgressError `address_taken` for a port that is taken or a host that is not ours.
 */
export async function startService(options: ServiceOptions): Promise<Service> {
  const { log } = options;
  const keyring = createKeyring(options.secretKeys);
  const egress = createEgress({ allow: options.egressAllow, allowLoopback: options.allowLoopback });
  const database = openDatabase(options.databaseUrl);
  const stops: (() => Promise<void>)[] = [() => database.close()];
  const stop = async () => {
    for (const stopOne of stops.splice(0).reverse()) await stopOne();
  };

  try {
    const resealed = await resealSecrets(database.db, keyring);
    if (resealed > 0) log.info({ resealed }, 'secrets sealed again with the new key');

    const poster = createPoster({
      egress,
      userAgent: `Mailgress/${options.version}`,
      // Endpoints of one origin do not wait for each other; `maxInFlight` and the dispatcher are the limit.
      connectionsPerOrigin: MAX_IN_FLIGHT,
    });
    stops.push(() => poster.close());
    const { random, scanIntervalMs } = options;
    const dispatcher = options.dispatch
      ? startDispatcher({ database, keyring, poster, log, random, scanIntervalMs })
      : undefined;
    if (dispatcher !== undefined) stops.push(() => dispatcher.stop());
    // Another process's, if there is none here. A hint that is lost costs the second until that one's scan.
    const wakeDispatcher = () =>
      dispatcher === undefined
        ? void database.hot.notify(DELIVERIES_CHANNEL, '').catch(() => {})
        : dispatcher.wake();

    const activity = createActivityRecorder(database.hot, (error) =>
      log.warn({ reason: describeStoreError(error) }, 'could not record that sources are alive'),
    );
    stops.push(() => activity.stop());
    const commit = createMailCommit(database.hot, {
      onDeliveries: () => dispatcher?.wake(),
      ...(dispatcher === undefined && { notifyChannel: DELIVERIES_CHANNEL }),
    });
    stops.push(() => commit.drained());

    let address = '';
    const app = createApp({
      database,
      keyring,
      ingest: createIngest((row) => commit.submit(row)),
      ingressSources: rememberSources((id) => findIngressSource(database.db, keyring, id)),
      activity,
      egress,
      wakeDispatcher,
      adminToken: options.adminToken,
      bodyLimitBytes: options.bodyLimitBytes,
      publicUrl: () => options.publicUrl ?? address,
      version: options.version,
      log,
    });
    const server = createAdaptorServer({ fetch: app.fetch });
    address = await listen(server, options);
    stops.push(() => drain(server));
    return { address, publicUrl: options.publicUrl ?? address, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function listen(server: ServerType, { host, port }: ServiceOptions): Promise<string> {
  try {
    server.listen(port, host);
    await once(server, 'listening');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    const hint =
      code === 'EADDRINUSE' ? 'something else listens there: stop it, or set PORT' : describeError(error);
    throw new MailgressError('address_taken', `Cannot listen on ${host}:${port}: ${hint}`, { cause: error });
  }
  const bound = server.address();
  const boundPort = typeof bound === 'object' && bound !== null ? bound.port : port;
  // 0.0.0.0 and :: are where we listen, not where anyone calls.
  const name = host === '0.0.0.0' || host === '::' ? 'localhost' : isIP(host) === 6 ? `[${host}]` : host;
  return `http://${name}:${boundPort}`;
}

/** Takes no new connection, lets requests under way end, and closes what idles. */
async function drain(server: ServerType): Promise<void> {
  const closed = new Promise((resolve) => server.close(resolve));
  const force = setTimeout(() => {
    if ('closeAllConnections' in server) server.closeAllConnections();
  }, DRAIN_MS);
  await closed;
  clearTimeout(force);
}
