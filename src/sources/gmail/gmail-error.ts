import { z } from 'zod';
import { parseRetryAfter } from '../../core/retry.ts';

/**
 * What a fault of Gmail means for what is to be done:
 * - `not_found`: the message is gone; of history, its start is too old;
 * - `slow_down`: everything of this account waits until `retryAfterMs`, or as long as we think right;
 * - `needs_reauth`: a person has to consent again;
 * - `not_allowed`: a person has to change a setting, which the message names;
 * - `refused`: this call is wrong as it is;
 * - `unavailable`: Google or the way to it; later it may work.
 */
export type GmailFault =
  | 'not_found'
  | 'slow_down'
  | 'needs_reauth'
  | 'not_allowed'
  | 'refused'
  | 'unavailable';

/** Whatever the answer says, and whoever wrote it: an account is not left for longer without being asked. */
const MAX_RETRY_AFTER_MS = 24 * 3_600_000;

/** Holds nothing of the request or of mail: its message may be shown and logged. */
export class GmailError extends Error {
  readonly fault: GmailFault;
  /** What Google asked for, in ms from now, a day at most; undefined if it named no time. */
  readonly retryAfterMs: number | undefined;

  constructor(fault: GmailFault, message: string, retryAfterMs?: number) {
    // It is kept as text, which may not hold U+0000 in PostgreSQL.
    super(message.replaceAll(/\p{Cc}/gu, ' '));
    this.name = 'GmailError';
    this.fault = fault;
    this.retryAfterMs = retryAfterMs === undefined ? undefined : Math.min(retryAfterMs, MAX_RETRY_AFTER_MS);
  }
}

/** https://developers.google.com/workspace/gmail/api/guides/handle-errors */
const SLOW_DOWN_REASONS = new Set([
  'rateLimitExceeded',
  'userRateLimitExceeded',
  'dailyLimitExceeded',
  'quotaExceeded',
  'concurrentLimitExceeded',
]);

const bodySchema = z.object({
  error: z.object({
    message: z.string().default(''),
    errors: z.array(z.object({ reason: z.string().optional() })).default([]),
  }),
});

/** The fault in an answer of the API that is no success. */
export function gmailErrorOf(answer: {
  status: number;
  body: unknown;
  retryAfter: string | undefined;
  now: Date;
}): GmailError {
  const { status, now } = answer;
  const { message, errors } = bodySchema.safeParse(answer.body).data?.error ?? { message: '', errors: [] };
  const reasons = errors.map(({ reason }) => reason ?? '');
  const said = `Gmail answers ${[status, ...reasons].join(' ')}${message === '' ? '' : `: ${message.slice(0, 300)}`}`;
  if (status === 429 || (status === 403 && reasons.some((reason) => SLOW_DOWN_REASONS.has(reason)))) {
    return new GmailError(
      'slow_down',
      said,
      parseRetryAfter(answer.retryAfter, now) ?? timeInText(message, now),
    );
  }
  if (status === 404) return new GmailError('not_found', said);
  if (status === 401) return new GmailError('needs_reauth', said);
  if (status === 403) return new GmailError('not_allowed', said + adviceFor(message));
  if (status >= 500 || status === 408)
    return new GmailError('unavailable', said, parseRetryAfter(answer.retryAfter, now));
  return new GmailError(/precondition/i.test(message) ? 'not_allowed' : 'refused', said);
}

/** Gmail names the end of a limit in the sentence alone: "User-rate limit exceeded.  Retry after 2026-11-20T12:00:00.000Z". */
function timeInText(message: string, now: Date): number | undefined {
  const [, text] = /retry after (\d{4}-\d\d-\d\dT[\d:.]+Z)/i.exec(message) ?? [];
  const atMs = text === undefined ? Number.NaN : Date.parse(text);
  return Number.isNaN(atMs) ? undefined : Math.max(0, atMs - now.getTime());
}

const ADVICE: readonly [RegExp, string][] = [
  [
    /pub\/?sub|not authorized to perform this action/i,
    'give gmail-api-push@system.gserviceaccount.com the role Pub/Sub Publisher on the topic of GMAIL_TOPIC',
  ],
  [/scope|insufficient/i, 'the consent lacks gmail.readonly: connect again and leave it ticked'],
  [/delegation/i, 'let the service account act domain-wide with the scope gmail.readonly'],
  [
    /has not been used|is disabled|accessNotConfigured/i,
    'enable the Gmail API in the project of the OAuth client',
  ],
];

function adviceFor(message: string): string {
  const advice = ADVICE.find(([pattern]) => pattern.test(message))?.[1];
  return advice === undefined ? '' : `; ${advice}`;
}
