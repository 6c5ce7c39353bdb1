import type { Context } from 'hono';
import { HTTPException } from 'hono/http-exception';
import type { Logger } from 'pino';
import type { z } from 'zod';
import { type ErrorCode, MailgressError } from '../core/errors.ts';
import type { problemSchema } from '../core/resources.ts';
import { describeStoreError, isConflict, isUnavailable, storeUnavailable } from '../store/unavailable.ts';
import { awaitsContinue } from './refuse.ts';

type Status = 400 | 401 | 403 | 404 | 405 | 408 | 409 | 410 | 413 | 429 | 500 | 503;

/** Codes that are not here never come out of a request. */
const PROBLEMS: Partial<Record<ErrorCode, { status: Status; title: string }>> = {
  bad_request: { status: 400, title: 'The request is not as it should be' },
  invalid_json: { status: 400, title: 'The body is not JSON' },
  egress_blocked: { status: 400, title: 'This address may not be called' },
  search_too_wide: { status: 400, title: 'The search finds too much' },
  credentials_refused: { status: 400, title: 'The mail provider refuses these credentials' },
  unauthorized: { status: 401, title: 'Not signed or not authorized' },
  forbidden: { status: 403, title: 'This key may not do that' },
  not_found: { status: 404, title: 'There is no such thing' },
  method_not_allowed: { status: 405, title: 'Not with this method' },
  conflict: { status: 409, title: 'In conflict with what is there' },
  source_stopped: { status: 409, title: 'The source is stopped' },
  raw_expired: { status: 410, title: 'The raw mail is no longer kept' },
  too_many_attempts: { status: 429, title: 'Too many bad keys' },
  body_too_large: { status: 413, title: 'The body is too large' },
  body_too_slow: { status: 408, title: 'The body came too slowly' },
  rate_limited: { status: 429, title: 'Too much mail of this source' },
  pubsub_not_configured: { status: 503, title: 'Pushes of Pub/Sub are not configured' },
  keys_unavailable: { status: 503, title: 'The signing keys are out of reach' },
  store_unavailable: { status: 503, title: 'The database is out of reach' },
  overloaded: { status: 503, title: 'Too much at once' },
  oauth_not_configured: { status: 503, title: 'This service is not set up for this provider' },
  provider_unavailable: { status: 503, title: 'The mail provider is out of reach' },
  database_behind: { status: 503, title: 'The database is not migrated' },
};
const INTERNAL = { status: 500, title: 'A fault of ours' } as const;

const RETRY_AFTER_S = 2;

/** What an error means to the caller. Anything unexpected is `internal`, without its words. */
export function toMailgressError(error: unknown): MailgressError {
  if (error instanceof MailgressError && error.code in PROBLEMS) return error;
  // A deadlock is undone, and gone at the next try.
  if (isUnavailable(error) || isConflict(error)) return storeUnavailable(error);
  if (error instanceof HTTPException) return fromHttpException(error);
  return new MailgressError('internal', 'Something went wrong here; the log has it under this request id', {
    cause: error,
  });
}

/** The status that a problem is answered with. */
export function problemStatus({ code }: MailgressError): Status {
  return (PROBLEMS[code] ?? INTERNAL).status;
}

export function problemResponse(c: Context, error: MailgressError): Response {
  const { status, title } = PROBLEMS[error.code] ?? INTERNAL;
  const headers: Record<string, string> = { 'content-type': 'application/problem+json' };
  if (status === 503) headers['retry-after'] = String(RETRY_AFTER_S);
  if (error.retryAfterMs !== undefined) headers['retry-after'] = String(Math.ceil(error.retryAfterMs / 1000));
  if (status === 401) headers['www-authenticate'] = 'Bearer';
  // The rest of the body may still come, or may not: nothing after it could be told apart from that.
  if (status === 408 || awaitsContinue(c.req.raw)) headers.connection = 'close';
  const body: z.infer<typeof problemSchema> = {
    type: `urn:mailgress:problem:${error.code}`,
    title,
    status,
    detail: error.message,
    code: error.code,
    ...(error.faults.length > 0 && { errors: [...error.faults] }),
  };
  return c.body(JSON.stringify(body), status, headers);
}

/** What is no fault of the caller. */
export function logProblem(error: MailgressError, log: Logger): void {
  const reason = describeStoreError(error.cause ?? error);
  if (error.code === 'internal') log.error({ reason }, 'request failed');
  if (error.code === 'store_unavailable') log.warn({ reason }, 'database out of reach');
  if (error.code === 'provider_unavailable') log.warn({ reason }, 'provider out of reach');
}

/** What hono's own validators throw: 415, and 400 for bad JSON. */
function fromHttpException(error: HTTPException): MailgressError {
  if (error.status === 415) {
    return new MailgressError('invalid_json', 'The body must be sent with `content-type: application/json`');
  }
  if (error.status < 500) return new MailgressError('invalid_json', 'The body is not JSON');
  return new MailgressError('internal', 'Something went wrong here', { cause: error });
}

export function notFound(what: string): MailgressError {
  return new MailgressError('not_found', `There is no ${what}`);
}
