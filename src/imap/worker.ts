import type { Logger } from 'pino';
import { createByteBudget } from '../core/byte-budget.ts';
import { describeError, MailgressError } from '../core/errors.ts';
import type { Id } from '../core/ids.ts';
import { IMAP_PRESETS } from '../core/imap-providers.ts';
import { type ImapSettings, imapSettingsSchema } from '../core/imap-settings.ts';
import { createLimits } from '../core/limit.ts';
import type { Keyring } from '../core/sealed.ts';
import type { Ingest } from '../ingest.ts';
import { type ConnectTools, DEFAULT_TIMEOUTS, openConnection } from '../sources/imap/connection.ts';
import { ImapError } from '../sources/imap/imap-error.ts';
import { runSession } from '../sources/imap/session.ts';
import { LeaseLost } from '../sources/imap/session-store.ts';
import type { GivenTools } from '../sources/imap/session-tools.ts';
import { type SessionHandle, type Supervisor, startSupervisor } from '../sources/imap/supervisor.ts';
import type { Database } from '../store/database.ts';
import {
  type ClaimedImapSource,
  claimImapSources,
  endSession,
  readHeldSources,
  renewImapLeases,
} from '../store/imap-leases.ts';
import { IMAP_CHANNEL, replaceRefreshToken } from '../store/imap-sources.ts';
import { openImapCredentials } from '../store/secrets.ts';
import type { ActivityRecorder } from '../store/source-activity.ts';
import { createHolder } from '../store/source-leases.ts';
import { createStateRecorder } from '../store/source-states.ts';
import { describeStoreError, isConflict, isUnavailable } from '../store/unavailable.ts';
import { forgetWorker, reportWorker } from '../store/workers.ts';
import { type AccessOptions, type ImapAccess, openAccess } from './access.ts';
import { createSessionStore } from './session-store.ts';

/** Mail that is being fetched or stored at once, over all sessions; of large ones there is room for one of the largest. */
const MEMORY = { pagesBytes: 32 * 1024 * 1024, largeBytes: 32 * 1024 * 1024 };
/** Connects under way at once to one host: servers take many clients that come together for an attack. */
const CONNECTS_PER_HOST = 8;
const DEFAULT_CAPACITY = 5000;

export type ImapWorkerOptions = {
  database: Database;
  keyring: Keyring;
  ingest: Ingest;
  activity: ActivityRecorder;
  access: AccessOptions;
  connect: ConnectTools;
  /** Call when an event was appended. */
  onEvent: () => void;
  log: Logger;
  /** Sessions that this process holds at most. */
  capacity?: number | undefined;
  /** One source alone, for supervisors that like a process each. */
  only?: Id<'src'> | undefined;
  random?: (() => number) | undefined;
  scanMs?: number | undefined;
  probeMs?: number | undefined;
};

/** Wires the sessions of IMAP to the store and the door. */
export function startImapWorker(options: ImapWorkerOptions): Supervisor {
  const { database, log, onEvent, only, random = Math.random, capacity = DEFAULT_CAPACITY } = options;
  const { inTime, hot } = database;
  const holder = createHolder();
  const memory = {
    pages: createByteBudget(MEMORY.pagesBytes),
    large: createByteBudget(MEMORY.largeBytes),
    patienceMs: options.connect.timeouts?.roomMs ?? DEFAULT_TIMEOUTS.roomMs,
  };
  const connects = createLimits(CONNECTS_PER_HOST);
  const budgets = Object.fromEntries(
    Object.entries(IMAP_PRESETS).map(([provider, { connectionBudget }]) => [provider, connectionBudget]),
  );
  const states = createStateRecorder(hot, (error) =>
    log.warn({ reason: describeStoreError(error) }, 'could not record the states of sources'),
  );

  const supervisor = startSupervisor<ClaimedImapSource>({
    store: {
      claim: (limit) => inTime(claimImapSources(hot, { holder, limit, budgets, only })),
      readHeld: (ids) => inTime(readHeldSources(hot, ids)),
      renew: (leases) => inTime(renewImapLeases(hot, leases)),
      end: async (claimed, end) => {
        states.forget(claimed.lease.sourceId);
        if (await inTime(endSession(hot, claimed, end))) onEvent();
      },
      report: async (held) => {
        if (only === undefined) return inTime(reportWorker(hot, { holder, capacity, held }));
        // Whoever takes one source alone leaves the share of the others as it is.
        await inTime(reportWorker(hot, { holder, capacity: 0, held }));
        return 1;
      },
      leave: () => inTime(forgetWorker(hot, holder)),
    },
    run: (claimed, handle) =>
      runClaimed(claimed, handle).catch((error) => {
        throw classify(error);
      }),
    backoffOf: ({ settings }) => imapSettingsSchema.safeParse(settings).data?.tuning ?? {},
    log,
    describe: (error) => (isOfStore(error) ? describeStoreError(error) : describeError(error)),
    random,
    scanMs: options.scanMs,
  });
  database.listen(IMAP_CHANNEL, supervisor.wake);

  async function runClaimed(claimed: ClaimedImapSource, handle: SessionHandle): Promise<void> {
    const { lease, mailboxId, tenant, address, authenticationServers } = claimed;
    const { sourceId } = lease;
    const settings = imapSettingsSchema.parse(claimed.settings);
    states.note(lease, { state: 'connecting', mode: null });
    const { access, user } = await openAccount(claimed, settings, options);
    const { server, preset } = access;
    const store = createSessionStore(database, claimed, onEvent);
    const origin = { id: sourceId, kind: 'imap' as const, mailboxId, tenant, address, authenticationServers };
    await runSession(
      {
        provider: settings.provider,
        folders: settings.folders,
        tuning: settings.tuning,
        connectionBudget: preset.connectionBudget,
        idleRestartMs: preset.idleRestartMs,
        isWakingUp: claimed.isStandby && claimed.hasSlept,
      },
      {
        store,
        take: (mail, isOneOfMany) => options.ingest(mail, origin, isOneOfMany),
        memory,
        maxMailBytes: options.connect.maxMailBytes,
        scope: `${server.host.toLowerCase()}/${user.toLowerCase()}`,
        newFolderSince: claimed.createdAt,
        now: () => new Date(),
        signal: handle.signal,
        onReady: handle.onReady,
        random,
        probeMs: options.probeMs,
        isPassing: isOfStore,
        note: (state, mode, reason = null) => states.note(lease, { state, mode, reason }),
        noteAlive: (hasMail) => options.activity.note(sourceId, { hasMessage: hasMail }),
        open: async (signal) => {
          // Before the place is taken: who gives the token slowly would hold up the host's other accounts.
          const auth = await access.auth(signal);
          const connect = async () => {
            handle.onLogin();
            const connection = await openConnection({ ...server, auth }, options.connect, signal);
            handle.onConnected();
            return connection;
          };
          return connects.run(server.host.toLowerCase(), connect, signal);
        },
      } satisfies GivenTools,
    );
  }

  return {
    ...supervisor,
    async stop() {
      await supervisor.stop();
      await states.flush();
    },
  };
}

/** @throws ImapError also for what is wrong on our side: whoever looks at the source is to see it. */
async function openAccount(
  claimed: ClaimedImapSource,
  settings: ImapSettings,
  { database, keyring, access }: ImapWorkerOptions,
): Promise<{ access: ImapAccess; user: string }> {
  const { account, credentials: sealed, lease } = claimed;
  const { sourceId } = lease;
  if (sealed === null) throw new ImapError('needs_reauth', 'the source has no credentials');
  try {
    const credentials = openImapCredentials(keyring, { id: sourceId, account }, sealed);
    const opened = await openAccess(settings, credentials, access, async (refreshToken) => {
      if (claimed.credentials === null || credentials.type !== 'oauth') return;
      const renewed = { ...credentials, refreshToken };
      claimed.credentials = await database.inTime(
        replaceRefreshToken(database.hot, keyring, sourceId, claimed.credentials, renewed),
      );
    });
    return { access: opened, user: credentials.user };
  } catch (error) {
    if (!(error instanceof MailgressError) || error.retryable) throw error;
    throw new ImapError('internal', error.message, { cause: error });
  }
}

function isOfStore(error: unknown): boolean {
  // Its cause may have a code of the system's, as a database out of reach has.
  if (error instanceof ImapError) return false;
  return (error instanceof MailgressError && error.retryable) || isUnavailable(error) || isConflict(error);
}

function classify(error: unknown): unknown {
  if (error instanceof LeaseLost || !isOfStore(error)) return error;
  return new ImapError('store', 'the database is away', { cause: error });
}
