import type { Logger } from 'pino';
import type { GoogleConfig, MicrosoftConfig } from './config.ts';
import { createKeyring, type Keyring } from './core/sealed.ts';
import { DELIVERIES_CHANNEL } from './deliver/dispatcher.ts';
import { createEgress, type Egress } from './deliver/egress.ts';
import { createGuardedPost } from './deliver/guarded-post.ts';
import type { AccessOptions } from './imap/access.ts';
import type { startImapWorker } from './imap/worker.ts';
import { createIngest, type Ingest } from './ingest.ts';
import { startFeedWatch } from './ops/feed-watch.ts';
import { startSilenceWatch } from './ops/silence-watch.ts';
import { createPreparer } from './prepare/preparer.ts';
import type { ConnectTools, ImapTimeouts } from './sources/imap/connection.ts';
import { createMailCommit } from './store/commit-mails.ts';
import { type Database, openDatabase } from './store/database.ts';
import { resealSecrets } from './store/secrets.ts';
import { type ActivityRecorder, createActivityRecorder } from './store/source-activity.ts';
import { describeStoreError } from './store/unavailable.ts';

/** What every process has that takes mail. */
export type CoreOptions = {
  databaseUrl: string;
  secretKeys: readonly string[];
  egressAllow: readonly string[];
  allowLoopback: boolean;
  bodyLimitBytes: number;
  google: GoogleConfig;
  microsoft: MicrosoftConfig;
  version: string;
  log: Logger;
  /** For tests: the draw for jitter, and how often what is due is looked for without being told. */
  random?: () => number;
  scanIntervalMs?: number;
  /** After how long a source counts as silent, and how often that is looked at: a script without a heartbeat, an imap source. */
  silentAfterMs?: number;
  outageAfterMs?: number;
  silenceLookMs?: number;
  /** How long the store may take to answer. */
  storeDeadlineMs?: number;
  /** PEM of who may sign the certificates of IMAP servers, instead of those that everybody trusts. */
  imapCa?: string;
  imapTimeouts?: Partial<ImapTimeouts>;
  /** How often an IMAP server is asked whether it is there. */
  imapProbeMs?: number;
};

/** Ends what was started, the last first. */
export type Stops = { add(stop: () => Promise<unknown>): void; all(): Promise<void> };

export function createStops(): Stops {
  const stops: (() => Promise<unknown>)[] = [];
  return {
    add: (stop) => void stops.push(stop),
    async all() {
      for (const stop of stops.splice(0).reverse()) await stop();
    },
  };
}

/** What the rest is built on. */
export type Base = { database: Database; keyring: Keyring; egress: Egress };

export async function openBase(options: CoreOptions, stops: Stops): Promise<Base> {
  const keyring = createKeyring(options.secretKeys);
  const egress = createEgress({ allow: options.egressAllow, allowLoopback: options.allowLoopback });
  const database = openDatabase(options.databaseUrl, { deadlineMs: options.storeDeadlineMs });
  stops.add(() => database.close());
  const resealed = await resealSecrets(database.sql, keyring);
  if (resealed > 0) options.log.info({ resealed }, 'secrets sealed again with the new key');
  const feedWatch = await startFeedWatch({ database, log: options.log });
  stops.add(() => feedWatch.stop());
  return { database, keyring, egress };
}

/** What takes mail in, and tells of sources that fall silent. */
export function startCore(
  { log, silentAfterMs, outageAfterMs, silenceLookMs: lookMs }: CoreOptions,
  { database }: Base,
  stops: Stops,
  {
    onEvent,
    onStored,
    wakeDispatcher,
  }: { onEvent: () => void; onStored: () => void; wakeDispatcher: (() => void) | undefined },
): { ingest: Ingest; activity: ActivityRecorder } {
  const silence = startSilenceWatch({ database, log, onEvent, silentAfterMs, outageAfterMs, lookMs });
  stops.add(() => silence.stop());
  const activity = createActivityRecorder(database.hot, (error) =>
    log.warn({ reason: describeStoreError(error) }, 'could not record that sources are alive'),
  );
  stops.add(() => database.inTime(activity.stop()));
  const commit = createMailCommit(database.hot, {
    deadlineMs: database.deadlineMs,
    onDeliveries: () => wakeDispatcher?.(),
    onStored,
    ...(wakeDispatcher === undefined && { notifyChannel: DELIVERIES_CHANNEL }),
  });
  stops.add(() => commit.drained());
  const preparer = createPreparer({
    unreadable: ({ messageId, origin }, reason) =>
      log.warn({ messageId, sourceId: origin.id, reason }, 'mail kept unread'),
    threadLost: (reason) => log.error({ reason }, 'lost a thread that reads mail'),
  });
  stops.add(() => preparer.close());
  return { ingest: createIngest(preparer.prepare, (row) => commit.submit(row)), activity };
}

/** The dispatcher is another process's. A hint that is lost costs the second until that one's scan. */
export function notifyDispatcher({ hot }: Database): () => void {
  return () => void hot.notify(DELIVERIES_CHANNEL, '').catch(() => {});
}

/** What reads and verifies IMAP accounts. */
export function imapOptions(
  options: CoreOptions,
  { database, keyring, egress }: Base,
): Base & { access: AccessOptions; connect: ConnectTools } & Pick<
    Parameters<typeof startImapWorker>[0],
    'log' | 'random' | 'scanMs' | 'probeMs'
  > {
  const { google, microsoft, version, bodyLimitBytes, log, imapCa, imapTimeouts } = options;
  return {
    database,
    keyring,
    egress,
    access: { google, microsoft, post: createGuardedPost(egress), isTrusted: egress.isTrusted },
    connect: {
      resolve: egress.resolveAllowed,
      resolveInClear: egress.resolveTrusted,
      version,
      maxMailBytes: bodyLimitBytes,
      ca: imapCa,
      timeouts: imapTimeouts,
    },
    log,
    random: options.random,
    scanMs: options.scanIntervalMs,
    probeMs: options.imapProbeMs,
  };
}
