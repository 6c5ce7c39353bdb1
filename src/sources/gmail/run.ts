import { GmailError } from './gmail-error.ts';
import { LeaseLost, type Look, type SyncPosition, type SyncTools, syncMailbox } from './sync.ts';
import { keepWatch, type Watch, type WatchState, type WatchStore } from './watch.ts';

/** A source as it was claimed, as far as a run needs it. */
export type RunSource = {
  account: string;
  state: string;
  failures: number;
  cursor: string | null;
  hintedHistoryId: string | null;
  lagLooks: number;
  settlingCursor: string | null;
  settlingAt: Date | null;
  syncedAt: Date | null;
  auditedAt: Date | null;
  createdAt: Date;
  watch: Watch | null;
  settings: { sent?: boolean | undefined };
};

export type RunResult = {
  state: 'idle' | 'backoff' | 'error' | 'needs_reauth';
  reason: string | null;
  failures: number;
  lagLooks: number;
  isComplete: boolean;
  isAlive: boolean;
  dueInMs: number;
  slowForMs: number | null;
  /** Undefined: as the store has it, which forgets it as soon as the cursor moves. */
  settling: { cursor: string; at: Date } | null | undefined;
  hasMail: boolean;
};

export type RunTools = Omit<SyncTools, 'store' | 'gmail'> & {
  store: SyncTools['store'] & WatchStore;
  /** @throws GmailError when it cannot be asked at all. */
  openGmail: () => SyncTools['gmail'];
  /** Undefined: there is none, and nobody pushes. */
  topic: string | undefined;
  random: () => number;
  /** Where a person gives consent again. */
  reconnectUrl: () => string;
  /**
   * Told what is no fault of Gmail. Answers whether it passes by itself, as when the store is away; else it is a fault of
   * ours, which would come again each time and has to be seen at the source.
   */
  isPassing: (error: unknown) => boolean;
};

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
/** Pushes can be late or lost: after so long without one there is a look all the same. */
const SILENCE_MS = 10 * MINUTE_MS;
/** Where nobody pushes; a look costs 2 of 6,000 units a minute. */
const POLL_MS = MINUTE_MS;
/** The pushed id is ahead of what history shows: it may lag. */
const LAG_WAITS_MS = [3 * SECOND_MS, 10 * SECOND_MS, 30 * SECOND_MS];
/** History that is behind by so long is not behind any more. */
const SETTLING_MS = HOUR_MS;
const FIRST_BACKOFF_MS = 2 * SECOND_MS;
const LONGEST_BACKOFF_MS = 5 * MINUTE_MS;
/** A limit is a matter of a minute: what comes sooner makes it longer. */
const FIRST_SLOW_MS = 30 * SECOND_MS;
const LONGEST_SLOW_MS = HOUR_MS;
/** What a person has to mend is looked at again in case somebody did. */
const NOT_ALLOWED_WAIT_MS = 15 * MINUTE_MS;
/** So many looks fail before that is more than a moment: some five minutes. */
const FAILURES_UNTIL_ERROR = 8;

/**
 * One run of a source: its watch, then a look at its history. Says what to keep of it.
 *
 * @throws LeaseLost, the reason of the signal, and what passes by itself.
 */
export async function runSource(source: RunSource, tools: RunTools): Promise<RunResult> {
  const position: SyncPosition = {
    cursor: source.cursor,
    lastGoodAt: source.syncedAt ?? source.createdAt,
    auditedAt: source.auditedAt,
    createdAt: source.createdAt,
    sent: source.settings.sent ?? false,
  };
  const progress = watchProgress(tools.store);
  try {
    const gmail = tools.openGmail();
    const { account } = source;
    const watch =
      tools.topic === undefined
        ? undefined
        : await keepWatch(account, source.watch, tools.topic, { ...tools, gmail });
    const look = await syncMailbox(position, { ...tools, gmail, store: progress.store });
    const settled = await settle(source, look, tools);
    return afterLook(source, look, watch, settled, tools);
  } catch (error) {
    return afterFault(source, faultOf(error, tools), progress.made(), tools);
  }
}

/** @throws what is of this look alone. */
function faultOf(error: unknown, { signal, isPassing }: RunTools): GmailError {
  if (error instanceof GmailError) return error;
  if (error instanceof LeaseLost || signal.aborted || isPassing(error)) throw error;
  return new GmailError('unavailable', 'a fault of ours, not of Gmail: the log has it');
}

type Progress = { isAny: boolean; hasMail: boolean };

/** What a look has kept by the time it is broken off. */
function watchProgress(store: RunTools['store']): { store: RunTools['store']; made(): Progress } {
  let [pages, mails] = [0, 0];
  return {
    store: {
      ...store,
      async keepHistoryPage(page) {
        const isHeld = await store.keepHistoryPage(page);
        if (isHeld && page.to !== page.from) pages++;
        return isHeld;
      },
      async settleStub(result) {
        await store.settleStub(result);
        if (result.outcome === 'stored') mails++;
      },
    },
    made: () => ({ isAny: pages + mails > 0, hasMail: mails > 0 }),
  };
}

type Settled = { cursor: string; settling: { cursor: string; at: Date } | null };

/**
 * A mailbox where nothing happens keeps an old cursor, which Google forgets after a week or so. So the newest id that
 * history named is adopted, but only an hour later, when nothing turned up behind the cursor meanwhile.
 */
async function settle(source: RunSource, look: Look, { store, now }: RunTools): Promise<Settled> {
  const { cursor, newestId, isDrained } = look;
  const isQuiet = isDrained && cursor === source.cursor && newestId !== undefined;
  if (!isQuiet || BigInt(newestId) <= BigInt(cursor)) return { cursor, settling: null };
  const { settlingCursor, settlingAt } = source;
  if (settlingCursor === null || settlingAt === null) {
    return { cursor, settling: { cursor: newestId, at: now() } };
  }
  const settling = { cursor: settlingCursor, at: settlingAt };
  if (now().getTime() - settlingAt.getTime() < SETTLING_MS) return { cursor, settling };
  const page = { messageIds: [], from: cursor, to: settlingCursor };
  if (!(await store.keepHistoryPage(page))) throw new LeaseLost();
  return { cursor: settlingCursor, settling: null };
}

function afterLook(
  source: RunSource,
  look: Look,
  watch: WatchState | undefined,
  { cursor, settling }: Settled,
  { topic, random }: RunTools,
): RunResult {
  const { hintedHistoryId: hinted, lagLooks } = source;
  const isBehind = look.isDrained && hinted !== null && BigInt(hinted) > BigInt(cursor);
  const lagMs = isBehind ? LAG_WAITS_MS[lagLooks] : undefined;
  const calmMs = Math.round((topic === undefined ? POLL_MS : SILENCE_MS) * (0.9 + 0.1 * random()));
  const alarm = watch?.alarm ?? null;
  return {
    state: alarm === null ? 'idle' : 'error',
    reason: alarm,
    failures: 0,
    lagLooks: lagMs === undefined ? lagLooks : lagLooks + 1,
    isComplete: look.isDrained,
    isAlive: true,
    dueInMs: look.isDone
      ? Math.max(
          0,
          Math.min(calmMs, lagMs ?? calmMs, watch?.dueInMs ?? calmMs, alarm === null ? calmMs : POLL_MS),
        )
      : 0,
    slowForMs: null,
    settling,
    hasMail: look.hasMail,
  };
}

/**
 * With a backlog of hundreds of mails a look is as good as sure to meet a fault: one that got somewhere counts as the
 * first, or the waits would grow to an hour.
 */
function afterFault(
  source: RunSource,
  error: GmailError,
  { isAny, hasMail }: Progress,
  { random, reconnectUrl }: RunTools,
): RunResult {
  const failures = isAny ? 1 : source.failures + 1;
  const result: RunResult = {
    state: failures < FAILURES_UNTIL_ERROR && source.state !== 'error' ? 'backoff' : 'error',
    reason: error.message,
    failures,
    lagLooks: source.lagLooks,
    isComplete: false,
    isAlive: isAny,
    dueInMs: waitFor(failures, FIRST_BACKOFF_MS, LONGEST_BACKOFF_MS, random),
    slowForMs: null,
    settling: undefined,
    hasMail,
  };
  if (error.fault === 'slow_down') {
    const { retryAfterMs: namedMs } = error;
    const waitMs = waitFor(failures, FIRST_SLOW_MS, LONGEST_SLOW_MS, random);
    // The time that Gmail names is right once; when it names another each time, ours counts too.
    const slowForMs =
      namedMs !== undefined && failures === 1 ? Math.max(namedMs, SECOND_MS) : Math.max(waitMs, namedMs ?? 0);
    return { ...result, slowForMs, dueInMs: slowForMs };
  }
  if (error.fault === 'needs_reauth') {
    const reason = `${error.message}; give consent again at ${reconnectUrl()}`;
    return { ...result, state: 'needs_reauth', reason };
  }
  if (error.fault === 'not_allowed') return { ...result, state: 'error', dueInMs: NOT_ALLOWED_WAIT_MS };
  return { ...result, dueInMs: Math.max(result.dueInMs, error.retryAfterMs ?? 0) };
}

function waitFor(failures: number, firstMs: number, longestMs: number, random: () => number): number {
  const waitMs = Math.min(longestMs, firstMs * 2 ** Math.min(failures - 1, 20));
  return Math.round(waitMs * (0.8 + 0.4 * random()));
}
