import { createHash } from 'node:crypto';
import type { Context } from 'hono';
import { deleteCookie, getCookie, setCookie } from 'hono/cookie';
import { z } from 'zod';
import type { Keyring } from '../core/sealed.ts';
import type { OAuthProvider } from '../sources/oauth/providers.ts';
import { openText } from './connect-link.ts';
import { idField } from './fields.ts';

/** As long as a person may take with the provider's questions. */
export const ATTEMPT_LIFETIME_MS = 10 * 60 * 1000;

/** What is kept of a consent between its begin and its callback. */
const attemptSchema = z.object({
  state: z.string(),
  verifier: z.string(),
  nonce: z.string(),
  mailboxId: idField('mbx'),
  expiresAtMs: z.number(),
});
export type Attempt = z.infer<typeof attemptSchema>;

/*
 * An attempt lives in a sealed cookie and nowhere here: so any replica can go on with it, and only the browser that began
 * it can (RFC 6749, 10.12). Each attempt has a cookie of its own, named by its state, so that links opened side by side
 * do not undo each other.
 */

/** @param callbackUrl where the cookie is sent to, and nowhere else. */
export function keepAttempt(
  c: Context,
  { keyring, provider, callbackUrl }: { keyring: Keyring; provider: OAuthProvider; callbackUrl: URL },
  attempt: Attempt,
): void {
  const sealed = keyring.seal(JSON.stringify(attempt), contextOf(provider));
  setCookie(c, cookieName(attempt.state), sealed.toString('base64url'), {
    ...cookieOptions(callbackUrl),
    maxAge: ATTEMPT_LIFETIME_MS / 1000,
  });
}

/**
 * The attempt that this browser began with this state, once: its cookie is taken away.
 *
 * @returns undefined if there is none, it is not ours, or too old.
 */
export function takeAttempt(
  c: Context,
  { keyring, provider, callbackUrl }: { keyring: Keyring; provider: OAuthProvider; callbackUrl: URL },
  state: string,
  now: Date = new Date(),
): Attempt | undefined {
  const name = cookieName(state);
  const cookie = getCookie(c, name);
  if (cookie === undefined) return undefined;
  deleteCookie(c, name, cookieOptions(callbackUrl));
  const text = openText(keyring, cookie, contextOf(provider));
  if (text === undefined) return undefined;
  const attempt = attemptSchema.parse(JSON.parse(text));
  return attempt.state === state && now.getTime() < attempt.expiresAtMs ? attempt : undefined;
}

/** The state itself stays out of it: it is for the provider and the sealed part. */
function cookieName(state: string): string {
  return `mailgress_connect_${createHash('sha256').update(state).digest('hex').slice(0, 16)}`;
}

/** Lax: the provider's redirect back is a navigation from another site, which Strict would leave the cookie out of. */
function cookieOptions({ protocol, pathname }: URL) {
  return { path: pathname, httpOnly: true, sameSite: 'Lax', secure: protocol === 'https:' } as const;
}

function contextOf(provider: OAuthProvider): string {
  return `connect-attempt/${provider}`;
}
