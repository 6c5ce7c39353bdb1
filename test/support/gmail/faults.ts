import { randomBytes } from 'node:crypto';
import type { Call } from './calls.ts';

/** What Google does in place of answering well. The shapes are those that clients of the real API have reported. */
export type Fault = {
  /** As the ledger has it. */
  name: string;
  /** Waited for first. */
  delayMs?: number;
  /** In place of the true answer; nothing is done. */
  answer?: Answer;
  /** The connection ends: before anything was done, or in the middle of the true answer. */
  cut?: 'unheard' | 'half-way';
  /** Makes another answer of a true one (its parsed JSON). */
  // biome-ignore lint/suspicious/noExplicitAny: answers of many shapes
  change?: (answer: any) => unknown;
};

/** A body that is no string is sent as JSON. */
export type Answer = { status: number; headers?: Record<string, string>; body: unknown };

/** What befalls this call, if anything. */
export type Rule = (call: Call) => Fault | undefined;

type ErrorShape = { code: number; status: string; message: string; reason: string; domain?: string };

/** An error as all of Google's APIs answer it. */
export function googleError({ code, status, message, reason, domain = 'global' }: ErrorShape): Answer {
  return { status: code, body: { error: { code, message, errors: [{ message, domain, reason }], status } } };
}

export const NOT_FOUND = googleError({
  code: 404,
  status: 'NOT_FOUND',
  message: 'Requested entity was not found.',
  reason: 'notFound',
});

export const UNAUTHORIZED = googleError({
  code: 401,
  status: 'UNAUTHENTICATED',
  message:
    'Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential.',
  reason: 'authError',
});

export const BAD_PAGE_TOKEN = googleError({
  code: 400,
  status: 'INVALID_ARGUMENT',
  message: 'Invalid pageToken',
  reason: 'invalidArgument',
});

/** The way out stands in the header. */
export function tooMany(retryAfterSeconds = 1): Fault {
  const message = 'Too many concurrent requests for user.';
  const { body } = googleError({ ...EXHAUSTED, message, domain: 'usageLimits' });
  return {
    name: '429',
    answer: { status: 429, headers: { 'retry-after': String(retryAfterSeconds) }, body },
  };
}

/** The way out stands in the text alone, as Gmail has it. */
export function tooManyUntil(until: Date): Fault {
  const message = `User-rate limit exceeded.  Retry after ${until.toISOString()}`;
  return { name: '429 in words', answer: googleError({ ...EXHAUSTED, message }) };
}

/** How Gmail says that a minute's units are spent; some projects get it with 403. */
export function quotaSpent(code: 403 | 429 = 429): Fault {
  const message =
    "Quota exceeded for quota metric 'Queries' and limit 'Queries per minute per user' of service 'gmail.googleapis.com' for consumer 'project_number:123456789012'.";
  return { name: 'quota', answer: googleError({ ...EXHAUSTED, code, message, domain: 'usageLimits' }) };
}

const EXHAUSTED = { code: 429, status: 'RESOURCE_EXHAUSTED', reason: 'rateLimitExceeded' };

/** The oldest of the ways to say it: 403, and no time. */
export function userRateLimit(): Fault {
  return {
    name: 'userRateLimitExceeded',
    answer: forbidden('User Rate Limit Exceeded', 'userRateLimitExceeded', 'usageLimits'),
  };
}

/** The consent does not cover the call. */
export function noScope(): Fault {
  const message = 'Request had insufficient authentication scopes.';
  return { name: 'insufficientPermissions', answer: forbidden(message, 'insufficientPermissions') };
}

export function delegationDenied(address: string): Fault {
  return { name: 'delegation denied', answer: forbidden(`Delegation denied for ${address}`, 'forbidden') };
}

/** Of watch: gmail-api-push@system.gserviceaccount.com may not publish to the topic. */
export function noTopicRights(topic = 'projects/p/topics/t'): Fault {
  const message = `Error sending test message to Cloud PubSub ${topic} : User not authorized to perform this action.`;
  return { name: 'topic rights', answer: forbidden(message, 'forbidden') };
}

function forbidden(message: string, reason: string, domain = 'global'): Answer {
  return googleError({ code: 403, status: 'PERMISSION_DENIED', message, reason, domain });
}

/** Google's front end, not its API. */
export function serverError(status: 500 | 502 | 503 = 503): Fault {
  const body = `<!DOCTYPE html>\n<html lang=en>\n  <title>Error ${status} (Server Error)!!1</title>\n  <p><b>${status}.</b> <ins>That’s an error.</ins>\n`;
  return {
    name: String(status),
    answer: { status, headers: { 'content-type': 'text/html; charset=UTF-8' }, body },
  };
}

/** The API's own. */
export function backendError(): Fault {
  const message = 'Internal error encountered.';
  return {
    name: 'backendError',
    answer: googleError({ code: 500, status: 'INTERNAL', message, reason: 'backendError' }),
  };
}

export const slow = (delayMs: number): Fault => ({ name: 'slow', delayMs });
export const cut = (where: 'unheard' | 'half-way' = 'half-way'): Fault => ({
  name: `cut ${where}`,
  cut: where,
});
export const expired = (): Fault => ({ name: 'expired', answer: NOT_FOUND });
export const gone = (): Fault => ({ name: 'gone', answer: NOT_FOUND });
export const unauthorized = (): Fault => ({ name: '401', answer: UNAUTHORIZED });
export const pageTokenExpired = (): Fault => ({ name: 'page token', answer: BAD_PAGE_TOKEN });

/** 200, and what is no JSON. */
export function garbage(): Fault {
  const body = `{"id": "${randomBytes(8).toString('hex')}", "hist`;
  return {
    name: 'garbage',
    answer: { status: 200, headers: { 'content-type': 'application/json; charset=UTF-8' }, body },
  };
}

/** 200 with JSON that lacks what it is there for. */
export const withoutRaw = (): Fault => ({
  name: 'without raw',
  change: ({ raw: _, ...message }) => message,
});
export const emptyObject = (): Fault => ({ name: 'empty object', change: () => ({}) });

/** Of history.list: nothing, and an id as if all of it had been told. */
export const emptyHistory = (): Fault => ({
  name: 'empty history',
  change: ({ historyId }) => ({ historyId }),
});

/** Of the token endpoint: the consent is gone for good. */
export const invalidGrant = (description = 'Token has been expired or revoked.'): Fault => ({
  name: 'invalid_grant',
  answer: { status: 400, body: { error: 'invalid_grant', error_description: description } },
});

/** Of the token endpoint: a fault that passes. */
export const tokenServerError = (): Fault => ({
  name: 'token 503',
  answer: { status: 503, body: { error: 'internal_failure' } },
});

/** Those after which the same call succeeds, as a client meets them by the hundred. */
export const PASSING_FAULTS: readonly (() => Fault)[] = [
  () => tooMany(1),
  () => tooManyUntil(new Date(Date.now() + 1_000)),
  userRateLimit,
  () => serverError(500),
  () => serverError(503),
  backendError,
  () => cut('unheard'),
  () => cut('half-way'),
  garbage,
  () => slow(300),
];
