const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;

/**
 * The wait after attempt 1, 2, 3 ...; the first attempt is made at once. 11 attempts over about 86 hours: the
 * recommended schedule of Standard Webhooks 1.0.0 ("Deliverability and reliability") with one more 10 h step.
 */
const WAITS_MS = [
  5 * SECOND_MS,
  5 * MINUTE_MS,
  30 * MINUTE_MS,
  2 * HOUR_MS,
  5 * HOUR_MS,
  10 * HOUR_MS,
  10 * HOUR_MS,
  14 * HOUR_MS,
  20 * HOUR_MS,
  24 * HOUR_MS,
];

/** How many times a delivery is tried before it is given up. */
export const MAX_ATTEMPTS = WAITS_MS.length + 1;

/** Spread around each wait, so that what failed together does not come back together. */
const JITTER = 0.2;

/** The least wait for a consumer that said it is too busy (429) or did not answer in time. */
const SLOW_DOWN_MS = MINUTE_MS;

/** A consumer may ask for more patience than the schedule has, but not park a delivery for ever. */
const MAX_RETRY_AFTER_MS = 24 * HOUR_MS;

/**
 * How long to wait before the next attempt, in whole ms; undefined when there is none left.
 *
 * `attempts` counts those already made (0: the first is due at once). `random` lies in [0, 1) and places the
 * wait between 80 % and 120 % of the schedule. `slowDown`: at least 60 s. `retryAfterMs`: at least that, but of
 * it no more than 24 h; it never shortens a wait.
 */
export function retryDelayMs(failure: {
  attempts: number;
  random: number;
  retryAfterMs?: number | undefined;
  slowDown?: boolean;
}): number | undefined {
  if (failure.attempts === 0) return 0;
  const waitMs = WAITS_MS[failure.attempts - 1];
  if (waitMs === undefined) return undefined;
  const jitteredMs = Math.round(waitMs * (1 - JITTER + 2 * JITTER * failure.random));
  const askedMs = Math.min(failure.retryAfterMs ?? 0, MAX_RETRY_AFTER_MS);
  return Math.max(jitteredMs, askedMs, failure.slowDown ? SLOW_DOWN_MS : 0);
}

/**
 * What a `Retry-After` header asks for, in ms from `now`; 0 for a date already past; undefined if it is absent
 * or no such value. Not bounded above: `retryDelayMs` does that. Source: RFC 9110, 10.2.3.
 */
export function parseRetryAfter(header: string | undefined, now: Date): number | undefined {
  const text = header?.trim() ?? '';
  if (/^[0-9]+$/.test(text)) return Number(text) * SECOND_MS;
  const at = parseHttpDate(text);
  return at === undefined ? undefined : Math.max(0, at - now.getTime());
}

// RFC 9110, 5.6.7: a recipient must accept all three.
const IMF_FIXDATE = /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/;
const RFC_850 = /^[A-Z][a-z]{5,8}, \d{2}-[A-Z][a-z]{2}-\d{2} \d{2}:\d{2}:\d{2} GMT$/;
const ASCTIME = /^[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d{2}:\d{2}:\d{2} \d{4}$/;

/** The shape is checked first: Date.parse alone takes "try 5" for a day in May and asctime for local time. */
function parseHttpDate(text: string): number | undefined {
  const isAsctime = ASCTIME.test(text);
  if (!isAsctime && !IMF_FIXDATE.test(text) && !RFC_850.test(text)) return undefined;
  const at = Date.parse(isAsctime ? `${text} GMT` : text);
  return Number.isNaN(at) ? undefined : at;
}
