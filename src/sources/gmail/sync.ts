import type { Limit } from '../../core/limit.ts';
import type { Gmail, HistoryPage } from './client.ts';
import { type Fetched, fetchStubs } from './fetch-stubs.ts';
import { GmailError } from './gmail-error.ts';
import type { OpenGap, SyncStore, TakeMail } from './sync-store.ts';

/** What a look begins from. */
export type SyncPosition = {
  cursor: string | null;
  /** The last look that was whole, or when the source was made: everything before is stored. */
  lastGoodAt: Date;
  auditedAt: Date | null;
  /** What came before the source is nobody's wish. */
  createdAt: Date;
  sent: boolean;
};

export type SyncTools = {
  store: SyncStore;
  gmail: Gmail;
  take: TakeMail;
  limit: Limit;
  /** Aborted when the lease is lost, the source stopped, or the process ends. */
  signal: AbortSignal;
  now: () => Date;
  /** So long one look may take; what is left then is for the next. */
  budgetMs: number;
  stubWaitsMs?: readonly number[] | undefined;
};

/** How a look ended; what it throws says why it did not. */
export type Look = {
  cursor: string;
  /** History was read to its end. */
  isDrained: boolean;
  /** Nothing is left that could be done now. */
  isDone: boolean;
  /** The newest history id by Gmail's last answer. */
  newestId: string | undefined;
  hasMail: boolean;
};

/** The lease is another's: what this run would still write counts no more. */
export class LeaseLost extends Error {
  constructor() {
    super('another process took over this source');
    this.name = 'LeaseLost';
  }
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** Gmail's clock, its index and ours do not agree to the minute. */
const GAP_MARGIN_MS = HOUR_MS;
const AUDIT_REACH_MS = 2 * DAY_MS;
const BATCH = 64;

/**
 * One look at a mailbox: history from the cursor on, page by page; each becomes stubs, and is fetched before the next is
 * read. Then, page by page too, what fills gaps.
 *
 * @throws GmailError for what concerns the whole account, LeaseLost, and what the store throws.
 */
export async function syncMailbox(position: SyncPosition, tools: SyncTools): Promise<Look> {
  const { store, gmail, signal, now } = tools;
  const endsMs = performance.now() + tools.budgetMs;
  const isTimeUp = () => performance.now() >= endsMs;
  let cursor = position.cursor ?? (await beginAnew());
  let newestId: string | undefined;
  let hasMail = false;
  let isDrained = false;
  let hasRestarted = false;

  // All pages of one listing have one start; the cursor goes along for who comes after us.
  let start = cursor;
  let pageToken: string | undefined;
  while (!isDrained && !isTimeUp()) {
    const page = await nextPage();
    if (page === undefined) continue;
    const to = laterOf(cursor, page.lastRecordId);
    if (to !== cursor || page.messageIds.length > 0) {
      held(await store.keepHistoryPage({ messageIds: page.messageIds, from: cursor, to }));
      cursor = to;
    }
    newestId = page.newestId;
    pageToken = page.nextPageToken;
    isDrained = pageToken === undefined;
    await fetchAll();
  }

  if (isDrained) await auditIfDue();
  const isFilled = isDrained && (await fillGaps());
  return { cursor, isDrained, isDone: isFilled, newestId, hasMail };

  /** Without a cursor: the mailbox as it is now, and a gap since the last good look, for it may have been forgotten. */
  async function beginAnew(): Promise<string> {
    const { historyId } = await gmail.profile(signal);
    held(await store.jumpWithGap({ reason: 'reset', from: null, to: historyId, since: gapBegin() }));
    return historyId;
  }

  /** @returns undefined when the listing has to begin anew, from where the cursor is now. */
  async function nextPage(): Promise<HistoryPage | undefined> {
    try {
      return await gmail.history(start, pageToken, signal);
    } catch (error) {
      if (!(error instanceof GmailError)) throw error;
      if (error.fault === 'refused' && pageToken !== undefined) {
        // The place in the listing is forgotten.
        start = cursor;
      } else if (error.fault === 'not_found') {
        start = await jumpOverExpired();
      } else throw error;
      pageToken = undefined;
      return undefined;
    }
  }

  /** The profile first: what comes in from here on is in the history behind it, what came before in the gap. */
  async function jumpOverExpired(): Promise<string> {
    const { historyId: to } = await gmail.profile(signal);
    // There is nothing to jump over, and asking at once again would never end.
    if (to === cursor) throw new GmailError('unavailable', 'Gmail has no history even from its newest id on');
    held(await store.jumpWithGap({ reason: 'history_expired', from: cursor, to, since: gapBegin() }));
    cursor = to;
    return to;
  }

  function gapBegin(): Date {
    return sinceCreation(position.lastGoodAt.getTime() - GAP_MARGIN_MS);
  }

  function sinceCreation(ms: number): Date {
    return new Date(Math.max(ms, position.createdAt.getTime()));
  }

  /** Once a day, the ids of the last two are held against what is stored. The last hour may still be on its way. */
  async function auditIfDue(): Promise<void> {
    const nowMs = now().getTime();
    const { auditedAt, createdAt } = position;
    if (nowMs - (auditedAt ?? createdAt).getTime() < DAY_MS) return;
    const since = sinceCreation(nowMs - AUDIT_REACH_MS);
    await store.requestAudit({ since, until: new Date(nowMs - HOUR_MS) });
  }

  /** @returns whether none is left to list, and no mail to fetch. */
  async function fillGaps(): Promise<boolean> {
    let isEmpty = await fetchAll();
    for (;;) {
      const [gap] = await store.findOpenGaps();
      if (gap === undefined) break;
      if (isTimeUp()) return false;
      await listGapPage(gap);
      isEmpty = await fetchAll();
    }
    await store.closeGaps();
    return isEmpty;
  }

  async function listGapPage(gap: OpenGap): Promise<void> {
    try {
      const { since, until } = gap;
      const page = await gmail.list({ since, until, pageToken: gap.pageToken ?? undefined }, signal);
      const next = page.nextPageToken ?? null;
      held(await store.keepGapPage(gap, { messageIds: page.messageIds, next }));
    } catch (error) {
      const isPlaceForgotten =
        error instanceof GmailError && error.fault === 'refused' && gap.pageToken !== null;
      // Once a look: a place that is never known would have it begin anew without end.
      if (!isPlaceForgotten || hasRestarted) throw error;
      hasRestarted = true;
      await store.restartGap(gap.id);
    }
  }

  /** @returns whether nothing is left to fetch now. */
  async function fetchAll(): Promise<boolean> {
    for (;;) {
      const stubs = await store.findDueStubs(BATCH);
      if (stubs.length === 0) return true;
      if (isTimeUp()) return false;
      const fetched: Fetched = await fetchStubs(stubs, { ...tools, settings: { sent: position.sent } });
      hasMail ||= fetched.stored > 0;
    }
  }
}

function held(isHeld: boolean): void {
  if (!isHeld) throw new LeaseLost();
}

/** History ids are unsigned 64-bit and may grow past that: compared as BigInt, never as numbers. */
function laterOf(cursor: string, recordId: string | undefined): string {
  return recordId !== undefined && BigInt(recordId) > BigInt(cursor) ? recordId : cursor;
}
