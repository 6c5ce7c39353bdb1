import type { Limit } from '../../core/limit.ts';
import { isPassedOver } from '../../core/passed-over.ts';
import { afterFailedTry, type DueStub, STUB_WAITS_MS, type StubResult } from '../../core/stub.ts';
import type { Gmail } from './client.ts';
import { GmailError } from './gmail-error.ts';
import { type GmailSettings, toRawMail } from './mail.ts';
import type { SyncStore, TakeMail } from './sync-store.ts';

export type Fetched = { stored: number };

/** At once of one mailbox. */
const CONCURRENCY = 4;
/** So many failures in a row may not be of the mails but of Gmail, or of the way to it. */
const MAX_STRIKES = 4;

/**
 * Fetches stubs and hands their mails over; each is settled once its mail is durable. One that fails is for later and
 * in nobody's way.
 *
 * @throws GmailError for what concerns the whole account, and what the store or the door throw: the rest stays as it is.
 */
export async function fetchStubs(
  stubs: readonly DueStub[],
  tools: {
    store: Pick<SyncStore, 'settleStub'>;
    gmail: Gmail;
    take: TakeMail;
    /** Of all mailboxes of the process. */
    limit: Limit;
    signal: AbortSignal;
    settings: GmailSettings;
    stubWaitsMs?: readonly number[] | undefined;
  },
): Promise<Fetched> {
  const { store, gmail, take, limit, signal, settings, stubWaitsMs = STUB_WAITS_MS } = tools;
  const queue = [...stubs];
  let strikes = 0;
  let stored = 0;

  async function work(): Promise<void> {
    for (let stub = queue.shift(); stub !== undefined; stub = queue.shift()) {
      // A place is for work: the quota is waited for without one.
      if (!stub.isStored) await gmail.awaitGet(signal);
      const result = await limit.run(() => resultOf(stub));
      if (result.outcome === 'stored') stored++;
      await store.settleStub(result);
    }
  }

  async function resultOf(stub: DueStub): Promise<StubResult> {
    const { id, providerId } = stub;
    signal.throwIfAborted();
    if (stub.isStored) return { id, outcome: 'settled' };
    try {
      const message = await gmail.get(providerId, signal);
      strikes = 0;
      if (isPassedOver(message.labelIds, settings)) return { id, outcome: 'settled' };
      const taken = await take(toRawMail(message), stubs.length > 1);
      if (taken.status === 'rejected') return { id, outcome: 'failed', error: taken.reason };
      return { id, outcome: taken.status === 'accepted' ? 'stored' : 'settled' };
    } catch (error) {
      if (!(error instanceof GmailError)) throw error;
      if (error.fault === 'not_found') return afterNotFound(stub);
      if (error.fault !== 'unavailable' && error.fault !== 'refused') throw error;
      strikes++;
      if (strikes >= MAX_STRIKES) {
        // The cheapest call finds out; it throws what is wrong, and the mail counts no try.
        await gmail.profile(signal);
        strikes = 0;
      }
      return afterFailedTry(stub, error.message, stubWaitsMs);
    }
  }

  /** What history has just named may not be there yet: it is gone when it is not there a moment later. */
  function afterNotFound({ id, attempts }: DueStub): StubResult {
    const [delayMs] = stubWaitsMs;
    if (attempts > 0 || delayMs === undefined) return { id, outcome: 'missing', error: null };
    return { id, outcome: 'retry', error: 'Gmail does not have it, or not yet', delayMs };
  }

  /** The first failure ends the work: what is under way ends as it may, and nothing more is begun. */
  let failure: { error: unknown } | undefined;
  await Promise.all(
    Array.from({ length: CONCURRENCY }, () =>
      work().catch((error: unknown) => {
        failure ??= { error };
        queue.length = 0;
      }),
    ),
  );
  if (failure !== undefined) throw failure.error;
  return { stored };
}
