import type { Logger } from 'pino';
import { MailgressError } from '../core/errors.ts';
import { createLimit } from '../core/limit.ts';
import type { Keyring } from '../core/sealed.ts';
import type { StubResult } from '../core/stub.ts';
import type { Ingest } from '../ingest.ts';
import type { Gmail } from '../sources/gmail/client.ts';
import { GmailError } from '../sources/gmail/gmail-error.ts';
import { type RunResult, type RunTools, runSource } from '../sources/gmail/run.ts';
import { type Syncer, startSyncer } from '../sources/gmail/syncer.ts';
import type { Database } from '../store/database.ts';
import * as gaps from '../store/gap-filling.ts';
import { gmailStubOf, jumpWithGap, keepHistoryPage, requestAudit } from '../store/gmail-sync.ts';
import { claimWatch, recordWatch } from '../store/gmail-watches.ts';
import { createGroupCommit } from '../store/group-commit.ts';
import { openCredentials } from '../store/secrets.ts';
import type { ActivityRecorder } from '../store/source-activity.ts';
import {
  type ClaimedSource,
  claimGmailSources,
  createHolder,
  endRun,
  releaseLease,
  renewLease,
} from '../store/source-leases.ts';
import { findDueStubs, settleStubs } from '../store/stub-queue.ts';
import { describeStoreError, isConflict, isUnavailable } from '../store/unavailable.ts';
import type { GmailAccess } from './access.ts';

/** One look may take so long; then others have their turn, and what is new its own before what fills gaps. */
const RUN_BUDGET_MS = 10_000;
/** A third of a lease would do. This is also how a run hears that its source was stopped: within 2 s. */
const RENEW_EACH_MS = 1500;
/** Over all mailboxes: a mail of 50 MB takes several times that until it is stored. */
const MAX_FETCHES = 16;

/** Wires the sync of Gmail to the store, the door and the account's Gmail. */
export function startGmailSync(options: {
  database: Database;
  keyring: Keyring;
  access: GmailAccess;
  ingest: Ingest;
  activity: ActivityRecorder;
  topic: string | undefined;
  reconnectUrl: (mailboxId: ClaimedSource['mailboxId']) => string;
  /** Call when an event was appended. */
  onEvent: () => void;
  log: Logger;
  random?: (() => number) | undefined;
  scanIntervalMs?: number | undefined;
  stubWaitsMs?: readonly number[] | undefined;
}): Syncer {
  const { database, keyring, access, ingest, activity, topic, onEvent, log, random = Math.random } = options;
  const { inTime, hot } = database;
  const holder = createHolder();
  const limit = createLimit(MAX_FETCHES);
  const settling = createGroupCommit<StubResult, true>({
    flush: async (results) => {
      await settleStubs(hot, results);
      return results.map(() => true as const);
    },
    sizeOf: () => 256,
    maxRows: 256,
    maxBytes: 1024 * 1024,
    gatherMs: 3,
    maxFlushes: 2,
    maxPendingBytes: Number.POSITIVE_INFINITY,
    deadlineMs: database.deadlineMs,
  });

  function storeOf({ lease }: ClaimedSource): RunTools['store'] {
    const { sourceId } = lease;
    return {
      keepHistoryPage: (page) => inTime(keepHistoryPage(hot, lease, page)),
      jumpWithGap: async (jump) => {
        const isKept = await inTime(jumpWithGap(hot, lease, jump));
        if (isKept) onEvent();
        return isKept;
      },
      findOpenGaps: () => inTime(gaps.findOpenGaps(hot, sourceId)),
      keepGapPage: (gap, { messageIds, next }) => {
        const page = { stubs: messageIds.map(gmailStubOf), listed: messageIds.length, next };
        return inTime(gaps.keepGapPage(hot, lease, gap, page));
      },
      restartGap: (gapId) => inTime(gaps.restartGap(hot, gapId)),
      requestAudit: (stretch) => inTime(requestAudit(hot, sourceId, stretch)),
      closeGaps: async () => {
        if (await inTime(gaps.closeGaps(hot, sourceId))) onEvent();
      },
      findDueStubs: (limit) => inTime(findDueStubs(hot, lease, limit)),
      settleStub: async (result) => void (await settling.submit(result)),
      claimWatch: (account) => inTime(claimWatch(hot, account)),
      recordWatch: (account, result) => inTime(recordWatch(hot, account, result)),
    };
  }

  /** @throws GmailError also for what is wrong on our side: whoever looks at the source is to see it. */
  function openGmail({ lease, account, credentials }: ClaimedSource): Gmail {
    if (credentials === null) throw new GmailError('not_allowed', 'the source has no credentials');
    try {
      return access.open(account, openCredentials(keyring, lease.sourceId, credentials));
    } catch (error) {
      throw error instanceof MailgressError ? new GmailError('not_allowed', error.message) : error;
    }
  }

  async function run(source: ClaimedSource, signal: AbortSignal): Promise<RunResult> {
    const { lease, mailboxId, tenant, address, authenticationServers } = source;
    const origin = {
      id: lease.sourceId,
      kind: 'gmail' as const,
      mailboxId,
      tenant,
      address,
      authenticationServers,
    };
    const result = await runSource(source, {
      store: storeOf(source),
      openGmail: () => openGmail(source),
      limit,
      take: (mail, isOneOfMany) => ingest(mail, origin, isOneOfMany),
      signal,
      now: () => new Date(),
      random,
      budgetMs: RUN_BUDGET_MS,
      topic,
      reconnectUrl: () => options.reconnectUrl(mailboxId),
      stubWaitsMs: options.stubWaitsMs,
      isPassing: (error) => {
        const isRetryable = error instanceof MailgressError && error.retryable;
        if (isRetryable || isUnavailable(error) || isConflict(error)) return true;
        const reason = describeStoreError(error);
        log.error({ sourceId: lease.sourceId, reason }, 'a look at a mailbox failed by a fault of ours');
        return false;
      },
    });
    if (result.hasMail) activity.note(lease.sourceId, { hasMessage: true });
    return result;
  }

  return startSyncer<ClaimedSource>({
    store: {
      claim: (limit) => inTime(claimGmailSources(hot, { holder, limit })),
      renew: ({ lease }) => inTime(renewLease(hot, lease)),
      end: async (source, result) => {
        if (await inTime(endRun(hot, source, result))) onEvent();
      },
      release: ({ lease }) => inTime(releaseLease(hot, lease)),
    },
    run,
    renewEachMs: RENEW_EACH_MS,
    log,
    describe: describeStoreError,
    scanIntervalMs: options.scanIntervalMs,
  });
}
