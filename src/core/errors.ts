/** What an operation can fail with. Each code is stable: it is the `code` of a problem+json answer. */
export type ErrorCode =
  | 'bad_request'
  | 'invalid_json'
  | 'unauthorized'
  | 'forbidden'
  | 'not_found'
  | 'method_not_allowed'
  | 'too_many_attempts'
  | 'conflict'
  | 'source_stopped'
  | 'body_too_large'
  | 'egress_blocked'
  | 'credentials_refused'
  | 'raw_expired'
  | 'search_too_wide'
  | 'pubsub_not_configured'
  | 'keys_unavailable'
  | 'store_unavailable'
  | 'overloaded'
  | 'oauth_not_configured'
  | 'provider_unavailable'
  | 'configuration'
  | 'database_behind'
  | 'already_running'
  | 'address_taken'
  | 'service_unavailable'
  | 'usage'
  | 'no_input'
  | 'embedded_database'
  | 'internal';

/** One fault of an input: where (`a.b.0`) and what was expected there. */
export type Fault = { path: string; message: string };

type Options = {
  retryable?: boolean;
  cause?: unknown;
  faults?: readonly Fault[];
  retryAfterMs?: number;
};

/**
 * The one error class. `message` names the thing, the value and what was expected, and never holds a secret
 * or mail content: it is shown to callers. `retryable` says whether the same call may succeed later.
 */
export class MailgressError extends Error {
  readonly code: ErrorCode;
  readonly retryable: boolean;
  readonly faults: readonly Fault[];
  /** How long to wait with the next call, where that is known. */
  readonly retryAfterMs: number | undefined;

  constructor(code: ErrorCode, message: string, options: Options = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'MailgressError';
    this.code = code;
    this.retryable = options.retryable ?? false;
    this.faults = options.faults ?? [];
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** The message of anything thrown; a thrown value that is no Error is printed as it is. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // AggregateError (several addresses of one host refused) has an empty message of its own.
  if (error instanceof AggregateError && error.message === '')
    return error.errors.map(describeError).join('; ');
  return error.message;
}
