import type { Gmail } from './client.ts';
import { GmailError } from './gmail-error.ts';

/** How the watch of an account is; it belongs to the account, whoever's source keeps it. */
export type Watch = { expiresAt: Date | null; dueAt: Date; error: string | null };

export type WatchStore = {
  /** Takes on the renewal for a while, with how many have failed in a row; undefined: another did, or it is not due. */
  claimWatch(account: string): Promise<{ failures: number } | undefined>;
  recordWatch(
    account: string,
    result: { expiresAt: Date; dueInMs: number } | { error: string; dueInMs: number },
  ): Promise<void>;
};

export type WatchState = {
  /** What is wrong and has to be seen to; null while the watch lives on for long. */
  alarm: string | null;
  /** Until it is to be looked at again. */
  dueInMs: number;
};

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
/** A watch lives for 7 days: renewed each day, six renewals may fail. */
const RENEW_EACH_MS = 24 * HOUR_MS;
const RENEWAL_JITTER = 0.1;
const FIRST_WAIT_MS = 5 * MINUTE_MS;
const LONGEST_WAIT_MS = HOUR_MS;
const ALARM_BEFORE_END_MS = 48 * HOUR_MS;

/**
 * Renews the watch of an account when that is due. The history id it answers is left alone: it is the mailbox's newest,
 * and the cursor may be behind.
 *
 * @throws what the store throws, the reason of `signal`, and of Gmail's faults those that concern the whole account.
 */
export async function keepWatch(
  account: string,
  watch: Watch | null,
  topic: string,
  tools: { gmail: Gmail; store: WatchStore; signal: AbortSignal; now: () => Date; random: () => number },
): Promise<WatchState> {
  const { gmail, store, signal, now, random } = tools;
  const asItIs = () => {
    const { expiresAt = null, error = null, dueAt = now() } = watch ?? {};
    // Whoever renews it needs a moment.
    const dueInMs = Math.max(MINUTE_MS, dueAt.getTime() - now().getTime());
    return stateOf({ expiresAt, error }, dueInMs, now());
  };
  if (watch !== null && watch.dueAt > now()) return asItIs();
  const claimed = await store.claimWatch(account);
  if (claimed === undefined) return asItIs();
  try {
    const expiresAt = await gmail.watch(topic, signal);
    const lifeMs = expiresAt.getTime() - now().getTime();
    // A shorter life than the documented one is renewed in its first half; one that is over, or is by our clock, each minute.
    const eachMs = Math.min(RENEW_EACH_MS, Math.max(MINUTE_MS, lifeMs / 2));
    const dueInMs = Math.round(eachMs * (1 - RENEWAL_JITTER * random()));
    await store.recordWatch(account, { expiresAt, dueInMs });
    return stateOf({ expiresAt, error: null }, dueInMs, now());
  } catch (error) {
    if (!(error instanceof GmailError)) throw error;
    const { message } = error;
    const waitMs = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** claimed.failures);
    const dueInMs = Math.max(waitMs, error.retryAfterMs ?? 0);
    await store.recordWatch(account, { error: message, dueInMs });
    // Not of the watch but of the account: asking on makes a limit longer, and without consent there is nothing to ask.
    if (error.fault === 'slow_down' || error.fault === 'needs_reauth') throw error;
    return stateOf({ expiresAt: watch?.expiresAt ?? null, error: message }, dueInMs, now());
  }
}

function stateOf(
  { expiresAt, error }: Pick<Watch, 'expiresAt' | 'error'>,
  dueInMs: number,
  now: Date,
): WatchState {
  const isNearItsEnd = expiresAt === null || expiresAt.getTime() - now.getTime() < ALARM_BEFORE_END_MS;
  if (error === null || !isNearItsEnd) return { alarm: null, dueInMs };
  const end = expiresAt === null ? 'has no watch' : `has a watch that ends at ${expiresAt.toISOString()}`;
  return { alarm: `the mailbox ${end}, so that it is polled: ${error}`, dueInMs };
}
