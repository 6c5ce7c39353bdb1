import { timingSafeEqual } from 'node:crypto';
import type { Context, MiddlewareHandler } from 'hono';
import { hashKey, isKey } from '../core/api-key.ts';
import { MailgressError } from '../core/errors.ts';
import { findPrincipal, type Principal } from '../store/api-keys.ts';
import type { Database } from '../store/database.ts';
import type { KeyUseRecorder } from '../store/key-uses.ts';
import { addressOf, createFailedAttempts } from './failed-attempts.ts';

/**
 * Whose key a request carries: `Authorization: Bearer <key>`.
 *
 * @returns undefined for none and for one that is not (any more) ours.
 * @throws MailgressError `too_many_attempts` for a bad key from an address that has sent many; `store_unavailable`.
 */
export type Identify = (c: Context) => Promise<Principal | undefined>;

/** A person who pastes wrong is far below, a program that tries keys far above. */
const FAILED_KEYS_PER_MINUTE = 30;

const ADMIN: Principal = { role: 'admin', tenant: null, keyId: null };

/**
 * Looks at each key anew, so that one that was revoked is refused by every process from then on.
 *
 * @param adminToken the key of the configuration, an admin's of all tenants.
 */
export function createIdentify({
  database,
  adminToken,
  keyUses,
  failedKeysPerMinute = FAILED_KEYS_PER_MINUTE,
}: {
  database: Database;
  adminToken: string;
  keyUses: KeyUseRecorder;
  failedKeysPerMinute?: number | undefined;
}): Identify {
  const isAdminKey = createKeyCheck(adminToken);
  const failed = createFailedAttempts(failedKeysPerMinute);

  async function find(key: string): Promise<Principal | undefined> {
    // By its hash: what a stranger could learn of one from the time that an index takes does not lead to a key.
    const principal = isKey(key)
      ? await database.inTime(findPrincipal(database.sql, hashKey(key)))
      : undefined;
    if (principal?.keyId) keyUses.note(principal.keyId);
    return principal;
  }

  return async (c) => {
    const authorization = c.req.header('authorization');
    if (!authorization) return undefined;
    if (isAdminKey(authorization)) return ADMIN;
    const key = keyOf(authorization);
    const principal = key === undefined ? undefined : await find(key);
    if (principal !== undefined) return principal;
    const retryAfterMs = failed.note(addressOf(c));
    if (retryAfterMs === 0) return undefined;
    throw new MailgressError('too_many_attempts', 'Too many bad keys came from this address; wait a little', {
      retryable: true,
      retryAfterMs,
    });
  };
}

/** Whether an Authorization header carries this one key, of the configuration. */
export function createKeyCheck(expected: string): (authorization: string | undefined) => boolean {
  const hash = hashKey(expected);
  return (authorization) => {
    const key = keyOf(authorization);
    // Hashes, so that neither the length nor a matching beginning shows in the time it takes.
    return key !== undefined && timingSafeEqual(hashKey(key), hash);
  };
}

function keyOf(authorization: string | undefined): string | undefined {
  return /^Bearer +(\S+)$/i.exec(authorization ?? '')?.[1];
}

/** Lets pass who carries a key, and keeps who that is for `principalOf`. */
export function requireKey(identify: Identify): MiddlewareHandler {
  return async (c, next) => {
    const principal = await identify(c);
    if (principal === undefined) {
      throw new MailgressError('unauthorized', 'Send the key as `Authorization: Bearer <key>`');
    }
    c.set('principal', principal);
    await next();
  };
}
