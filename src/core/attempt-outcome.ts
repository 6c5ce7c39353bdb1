/**
 * What an attempt means for its delivery. `succeeded`: done. `gone`: the consumer wants no more; disable the
 * endpoint at once. `failed`: try again by the schedule, and with `slowDown` not within a minute.
 */
export type AttemptOutcome = { kind: 'succeeded' } | { kind: 'gone' } | { kind: 'failed'; slowDown: boolean };

/**
 * Judges one attempt by its status, or by its error where no status arrived. 2xx is success and all else
 * failure, a redirect too: it is never followed, since where it leads was neither configured nor checked.
 * Source: Standard Webhooks 1.0.0, "Delivery success and failure".
 */
export function judgeAttempt(attempt: {
  statusCode: number | null;
  error: { code: string } | null;
}): AttemptOutcome {
  const { statusCode, error } = attempt;
  if (statusCode === 410) return { kind: 'gone' };
  if (statusCode !== null && statusCode >= 200 && statusCode < 300) return { kind: 'succeeded' };
  return { kind: 'failed', slowDown: statusCode === 429 || error?.code === 'timeout' };
}
