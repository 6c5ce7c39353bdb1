import { setTimeout as wait } from 'node:timers/promises';
import type { Logger } from 'pino';
import { createConnectSource } from './connect-source.ts';
import { describeError } from './core/errors.ts';
import { countAttempts, countMails } from './count.ts';
import { MAX_IN_FLIGHT, startDispatcher } from './deliver/dispatcher.ts';
import { createFeedHub } from './deliver/feed-hub.ts';
import { createPoster } from './deliver/post.ts';
import { startUpkeep } from './deliver/upkeep.ts';
import type { Report } from './doctor/report.ts';
import type { DoctorOptions } from './doctor-tools.ts';
import type { GmailQuota } from './gmail/access.ts';
import { startGmail } from './gmail/start.ts';
import { createApp } from './http/app.ts';
import { createIdentify } from './http/auth.ts';
import { createBodies } from './http/bodies.ts';
import { connectLink } from './http/connect-link.ts';
import { printForStream } from './http/event-stream.ts';
import { createGate } from './http/gate.ts';
import { type HttpLimits, startHttpServer } from './http/server.ts';
import type { ConnectSource } from './http/services.ts';
import { createSourceRate, failOpen } from './http/source-rate.ts';
import { createImapSources } from './imap/sources.ts';
import { startImapWorker } from './imap/worker.ts';
import { createMetrics } from './ops/metrics.ts';
import { startProcessMetrics } from './ops/process-metrics.ts';
import { startSearchIndexer } from './ops/search-indexer.ts';
import { createAttachmentReader } from './prepare/attachment-reader.ts';
import {
  type Base,
  type CoreOptions,
  createStops,
  imapOptions,
  notifyDispatcher,
  openBase,
  startCore,
} from './service-base.ts';
import type { PushTokenOptions, VerifyPushToken } from './sources/gmail/push-token.ts';
import { createSrvResolver } from './sources/imap/find-server.ts';
import { createConsents } from './sources/oauth/consent.ts';
import { readFeed } from './store/feed.ts';
import { createFeedBell, EVENTS_CHANNEL } from './store/feed-bell.ts';
import { rememberSources } from './store/ingress-sources.ts';
import { createKeyUseRecorder } from './store/key-uses.ts';
import { findIngressSource } from './store/sources.ts';
import { describeStoreError } from './store/unavailable.ts';

export type ServiceOptions = CoreOptions & {
  host: string;
  port: number;
  publicUrl: string | undefined;
  adminToken: string;
  /** A key for `/metrics` alone. */
  metricsToken?: string | undefined;
  dispatch: boolean;
  /** IMAP sessions are held by this process too. */
  imap?: boolean;
  /** What a push of Pub/Sub must carry; undefined: none is taken. */
  pubsub?: PushTokenOptions | undefined;
  /** What may be asked of Gmail, and how long a mail waits that it does not give. */
  gmailQuota?: GmailQuota;
  stubWaitsMs?: readonly number[];
  /** For tests: who is asked for the IMAP server of a domain, as `dns.setServers` takes it. */
  nameServers?: readonly string[];
  /** Mails a second that a source may push, and ten times that at once; 0: as many as it likes. */
  mailsPerSecond?: number;
  /** For tests: other limits of the HTTP server, and of bodies. */
  httpLimits?: Partial<HttpLimits>;
  bodyLimits?: Parameters<typeof createBodies>[0];
  /** Bad keys that an address may send in a minute before it is told to wait. */
  failedKeysPerMinute?: number;
  /** For tests: after how long a reader that takes nothing is cut off, and one that takes little. */
  bodyPatienceMs?: number;
  bodyLongestMs?: number;
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

/** What a busy mailbox gets in a minute; a script sends some 250 mails a minute at most. */
const MAILS_PER_SECOND = 100;

/** IMAP sessions are ended in order within this; those that take longer end with the process, and their leases by themselves. */
const SESSIONS_PATIENCE_MS = 9000;

/**
 * Runs the service on a migrated database: everything in one process, wired here and nowhere else.
 *
 * @throws MailgressError `address_taken` for a port that is taken or a host that is not ours.
 */
export async function startService(options: ServiceOptions): Promise<Service> {
  const { log } = options;
  const stops = createStops();
  let address = '';
  try {
    const base = await openBase(options, stops);
    const { database, keyring, egress } = base;
    const metrics = createMetrics();
    const processMetrics = startProcessMetrics();
    stops.add(async () => processMetrics.stop());
    const poster = createPoster({
      egress,
      userAgent: `Mailgress/${options.version}`,
      // Endpoints of one origin do not wait for each other; `maxInFlight` and the dispatcher are the limit.
      connectionsPerOrigin: MAX_IN_FLIGHT,
    });
    stops.add(() => poster.close());
    const { random, scanIntervalMs } = options;
    const dispatcher = options.dispatch
      ? startDispatcher({
          database,
          keyring,
          poster,
          log,
          random,
          scanIntervalMs,
          onAttempt: countAttempts(metrics),
        })
      : undefined;
    if (dispatcher !== undefined) {
      stops.add(() => dispatcher.stop());
      const upkeep = startUpkeep({ database, log, onDue: dispatcher.wake });
      stops.add(() => upkeep.stop());
    }
    const indexer = options.dispatch
      ? startSearchIndexer({ database, log, scanMs: scanIntervalMs })
      : undefined;
    stops.add(async () => indexer?.stop());
    const bell = createFeedBell(database);
    stops.add(async () => bell.stop());
    const feed = createFeedHub({
      read: (request) => database.inTime(readFeed(database.sql, request)),
      print: printForStream,
      onFirstClient: () => database.listen(EVENTS_CHANNEL, feed.wake),
      onReadError: (error) => log.warn({ reason: describeStoreError(error) }, 'could not read the feed'),
    });
    const onStored = () => {
      feed.wake();
      bell.ring();
      indexer?.wake();
    };
    const wakeDispatcher = dispatcher?.wake ?? notifyDispatcher(database);
    const onEvent = () => {
      wakeDispatcher();
      onStored();
    };
    const core = startCore(options, base, stops, { onEvent, onStored, wakeDispatcher: dispatcher?.wake });
    const ingest = countMails(core.ingest, metrics);
    const { activity } = core;
    const gmail = startGmail({
      ...options,
      ...core,
      ingest,
      database,
      keyring,
      reconnectUrl: (mailboxId) =>
        connectLink({ keyring, provider: 'google', mailboxId, publicUrl: options.publicUrl ?? address }).url,
      onEvent,
    });
    stops.add(() => gmail.stop());
    const imap = imapOptions(options, base);
    const worker = options.imap === true ? startImapWorker({ ...imap, ...core, ingest, onEvent }) : undefined;
    let ending: Promise<void> | undefined;
    const endSessions = () => {
      ending ??= atMost(SESSIONS_PATIENCE_MS, worker?.stop());
      return ending;
    };
    stops.add(endSessions);
    const imapSources = createImapSources({ ...imap, resolveSrv: createSrvResolver(options.nameServers) });
    const verifyToken = options.pubsub && (await createVerifier(options.pubsub, log));

    const keyUses = createKeyUseRecorder(database.sql, (error) =>
      log.warn({ reason: describeStoreError(error) }, 'could not record that keys were used'),
    );
    stops.add(() => database.inTime(keyUses.stop()));

    const publicUrl = () => options.publicUrl ?? address;
    const { metricsToken } = options;
    const doctor = loadDoctor({ ...options, secrets: [metricsToken] }, base, publicUrl);
    const attachments = createAttachmentReader();
    stops.add(() => attachments.close());

    const app = createApp({
      database,
      keyring,
      ingest,
      gmail: gmail.sources,
      imap: imapSources,
      wakeSync: gmail.wake,
      ingressSources: rememberSources((id) => database.inTime(findIngressSource(database.hot, keyring, id))),
      activity,
      gate: createGate(),
      sourceRate: failOpen(createSourceRate(options.mailsPerSecond ?? MAILS_PER_SECOND), (error) =>
        log.error(
          { reason: describeError(error) },
          'the limit of mails a source has a fault, and lets all through',
        ),
      ),
      bodies: createBodies(options.bodyLimits),
      pubsub: verifyToken && { verifyToken, hints: gmail.hints },
      egress,
      feed,
      attachments,
      bodyPatienceMs: options.bodyPatienceMs,
      bodyLongestMs: options.bodyLongestMs,
      wakeDispatcher: onEvent,
      consents: createConsents(options),
      connectSource:
        options.connectSource ?? createConnectSource(database.sql, keyring, gmail.sources, imapSources.wake),
      identify: createIdentify({ ...options, database, keyUses }),
      doctor,
      metricsToken,
      metrics,
      processMetrics,
      bodyLimitBytes: options.bodyLimitBytes,
      publicUrl,
      version: options.version,
      log,
    });
    const server = await startHttpServer(app.fetch, { ...options, onDropped: metrics.connectionDropped });
    address = server.address;
    // At the same time: what is under way here and there has nothing to wait for in the other.
    stops.add(() => Promise.all([server.drain(), endSessions()]));
    // Their requests never end by themselves.
    stops.add(async () => feed.stop());
    return { address, publicUrl: options.publicUrl ?? address, stop: () => stops.all() };
  } catch (error) {
    await stops.all();
    throw error;
  }
}

/** Resolves when `work` has ended, or after `ms`. */
async function atMost(ms: number, work: Promise<void> | undefined): Promise<void> {
  const patience = new AbortController();
  const late = wait(ms, undefined, { signal: patience.signal }).catch(() => {});
  await Promise.race([work, late]).finally(() => patience.abort());
}

/** Loaded where it is configured alone: what verifies tokens takes memory. */
async function createVerifier(options: PushTokenOptions, log: Logger): Promise<VerifyPushToken> {
  const { createPushTokenVerifier } = await import('./sources/gmail/push-token.ts');
  return createPushTokenVerifier(options, (reason) =>
    log.warn({ reason }, 'keys of push tokens out of reach'),
  );
}

/** Loaded when it is first asked. */
function loadDoctor(options: DoctorOptions, base: Base, publicUrl: () => string): () => Promise<Report> {
  const load = async () => {
    const { createDoctor } = await import('./doctor/doctor.ts');
    const { doctorTools } = await import('./doctor-tools.ts');
    return createDoctor(doctorTools(options, base, publicUrl));
  };
  let loaded: ReturnType<typeof load> | undefined;
  return async () => {
    loaded ??= load();
    return (await loaded)();
  };
}
