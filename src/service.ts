import type { Logger } from 'pino';
import type { GoogleConfig, MicrosoftConfig } from './config.ts';
import { createConnectSource } from './connect-source.ts';
import { createKeyring } from './core/sealed.ts';
import { DELIVERIES_CHANNEL, MAX_IN_FLIGHT, startDispatcher } from './deliver/dispatcher.ts';
import { createEgress } from './deliver/egress.ts';
import { createPoster } from './deliver/post.ts';
import type { GmailQuota } from './gmail/access.ts';
import { startGmail } from './gmail/start.ts';
import { createApp } from './http/app.ts';
import { connectLink } from './http/connect-link.ts';
import { startHttpServer } from './http/server.ts';
import type { ConnectSource } from './http/services.ts';
import { createIngest } from './ingest.ts';
import { startSilenceWatch } from './ops/silence-watch.ts';
import { createPreparer } from './prepare/preparer.ts';
import type { PushTokenOptions, VerifyPushToken } from './sources/gmail/push-token.ts';
import { createConsents } from './sources/oauth/consent.ts';
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
  google: GoogleConfig;
  microsoft: MicrosoftConfig;
  dispatch: boolean;
  /** What a push of Pub/Sub must carry; undefined: none is taken. */
  pubsub?: PushTokenOptions | undefined;
  version: string;
  log: Logger;
  /** For tests: the draw for the jitter of retries, and how often the dispatcher looks without being told. */
  random?: () => number;
  scanIntervalMs?: number;
  /** After how long without a heartbeat a script counts as silent, and how often that is looked at. */
  silentAfterMs?: number;
  silenceLookMs?: number;
  /** What may be asked of Gmail, and how long a mail waits that it does not give. */
  gmailQuota?: GmailQuota;
  stubWaitsMs?: readonly number[];
  /** How long the store may take to answer. */
  storeDeadlineMs?: number;
  /** For tests of the consent: what is done with it, instead of a source that reads. */
  connectSource?: ConnectSource;
};

export type Service = {
  /** Where it listens, `http://host:port`. */
  address: string;
  /** Under which URL others reach it. */
  publicUrl: string;
  /** Ends requests under way, then deliveries under way, then lets go of the database. */
  stop(): Promise<void>;
};

/**
 * Runs the service on a migrated database: everything in one process, wired here and nowhere else.
 *
 * @throws MailgressError `address_taken` for a port that is taken or a host that is not ours.
 */
export async function startService(options: ServiceOptions): Promise<Service> {
  const { log } = options;
  const keyring = createKeyring(options.secretKeys);
  const egress = createEgress({ allow: options.egressAllow, allowLoopback: options.allowLoopback });
  const database = openDatabase(options.databaseUrl, { deadlineMs: options.storeDeadlineMs });
  let address = '';
  const stops: (() => Promise<void>)[] = [() => database.close()];
  const stop = async () => {
    for (const stopOne of stops.splice(0).reverse()) await stopOne();
  };

  try {
    const resealed = await resealSecrets(database.sql, keyring);
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

    const { silentAfterMs, silenceLookMs: lookMs } = options;
    const silence = startSilenceWatch({ database, log, onEvent: wakeDispatcher, silentAfterMs, lookMs });
    stops.push(() => silence.stop());

    const activity = createActivityRecorder(database.hot, (error) =>
      log.warn({ reason: describeStoreError(error) }, 'could not record that sources are alive'),
    );
    stops.push(() => database.inTime(activity.stop()));
    const commit = createMailCommit(database.hot, {
      deadlineMs: database.deadlineMs,
      onDeliveries: () => dispatcher?.wake(),
      ...(dispatcher === undefined && { notifyChannel: DELIVERIES_CHANNEL }),
    });
    stops.push(() => commit.drained());
    const preparer = createPreparer({
      unreadable: ({ messageId, origin }, reason) =>
        log.warn({ messageId, sourceId: origin.id, reason }, 'mail kept unread'),
      threadLost: (reason) => log.error({ reason }, 'lost a thread that reads mail'),
    });
    stops.push(() => preparer.close());

    const ingest = createIngest(preparer.prepare, (row) => commit.submit(row));
    const gmail = startGmail({
      ...options,
      database,
      keyring,
      ingest,
      activity,
      reconnectUrl: (mailboxId) =>
        connectLink({ keyring, provider: 'google', mailboxId, publicUrl: options.publicUrl ?? address }).url,
      onEvent: wakeDispatcher,
    });
    stops.push(() => gmail.stop());
    const verifyToken = options.pubsub && (await createVerifier(options.pubsub, log));

    const app = createApp({
      database,
      keyring,
      ingest,
      gmail: gmail.sources,
      wakeSync: gmail.wake,
      ingressSources: rememberSources((id) => database.inTime(findIngressSource(database.hot, keyring, id))),
      activity,
      pubsub: verifyToken && { verifyToken, hints: gmail.hints },
      egress,
      wakeDispatcher,
      consents: createConsents(options),
      connectSource: options.connectSource ?? createConnectSource(database.sql, keyring, gmail.sources),
      adminToken: options.adminToken,
      bodyLimitBytes: options.bodyLimitBytes,
      publicUrl: () => options.publicUrl ?? address,
      version: options.version,
      log,
    });
    const server = await startHttpServer(app.fetch, options);
    address = server.address;
    stops.push(() => server.drain());
    return { address, publicUrl: options.publicUrl ?? address, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Loaded where it is configured alone: what verifies tokens takes memory. */
async function createVerifier(options: PushTokenOptions, log: Logger): Promise<VerifyPushToken> {
  const { createPushTokenVerifier } = await import('./sources/gmail/push-token.ts');
  return createPushTokenVerifier(options, (reason) =>
    log.warn({ reason }, 'keys of push tokens out of reach'),
  );
}
