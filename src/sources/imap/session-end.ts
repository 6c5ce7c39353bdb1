import {
  countFault,
  type FaultCount,
  MAX_AUTH_FAILURES,
  PROVEN_AFTER_MS,
  type SourceFault,
  sourceRetryMs,
} from '../../core/source-retry.ts';
import type { ImapError } from './imap-error.ts';

/** How a session ended, and when the next may begin. */
export type SessionEnd = {
  state: 'disconnected' | 'backoff' | 'standby' | 'needs_reauth' | 'disabled';
  reason: string | null;
  fault: SourceFault | null;
  failures: number;
  dueInMs: number;
  slowForMs: number | null;
};

/** Six logins a minute: so far apart at least, on the average of a session and the wait after it. */
const LOGIN_EACH_MS = 10_000;

/** Given back in order: to go on elsewhere at once. */
export function afterRelease(
  before: FaultCount | null,
  lastedMs: number,
  state: 'disconnected' | 'standby',
): SessionEnd {
  const { fault = null, failures = 0 } = lastedMs >= PROVEN_AFTER_MS ? {} : (before ?? {});
  return { state, reason: null, fault, failures, dueInMs: 0, slowForMs: null };
}

/**
 * After a failure: when to try again, by its class. A login that is refused three times, at least ten minutes apart, disables
 * the source, and a consent that is gone waits for a person; nothing else does.
 *
 * @param before as the session found it.
 * @param lastedMs how long it was connected.
 * @param bounds `logins`: how many the session made, one for each of its connections; and what the owner chose. A wait that a
 *   class needs to be longer stays so.
 */
export function afterFault(
  before: FaultCount | null,
  error: ImapError,
  lastedMs: number,
  {
    random,
    logins = 1,
    backoffMinMs = 0,
    backoffMaxMs = Number.POSITIVE_INFINITY,
  }: {
    random: number;
    logins?: number | undefined;
    backoffMinMs?: number | undefined;
    backoffMaxMs?: number | undefined;
  },
): SessionEnd {
  const { message: reason } = error;
  if (error.fault === 'needs_reauth') {
    return { state: 'needs_reauth', reason, fault: 'auth', failures: 1, dueInMs: 0, slowForMs: null };
  }
  const { fault, failures } = countFault(before, error.fault, lastedMs >= PROVEN_AFTER_MS);
  if (fault === 'auth' && failures >= MAX_AUTH_FAILURES) {
    return { state: 'disabled', reason, fault, failures, dueInMs: 0, slowForMs: null };
  }
  const waitMs = sourceRetryMs(fault, failures, random);
  // Bounds of the owner, who cannot have more than six logins a minute either: the schema begins at ten seconds.
  const isBounded = fault === 'network' || fault === 'protocol';
  const boundedMs = isBounded ? Math.max(Math.min(waitMs, backoffMaxMs), backoffMinMs) : waitMs;
  const restMs = logins > 1 ? logins * LOGIN_EACH_MS - lastedMs : 0;
  const dueInMs = Math.round(Math.max(boundedMs, error.retryAfterMs ?? 0, restMs));
  // The account's other sources would only make it longer.
  const slowForMs = fault === 'throttle' || fault === 'quota' ? dueInMs : null;
  return { state: 'backoff', reason, fault, failures, dueInMs, slowForMs };
}
