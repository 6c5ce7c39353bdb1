import { createHash, timingSafeEqual } from 'node:crypto';
import type { MiddlewareHandler } from 'hono';
import { MailgressError } from '../core/errors.ts';

/** Lets pass who carries the admin key: `Authorization: Bearer <key>`. */
export function requireKey(adminToken: string): MiddlewareHandler {
  const isKey = createKeyCheck(adminToken);
  return async (c, next) => {
    if (!isKey(c.req.header('authorization'))) {
      throw new MailgressError('unauthorized', 'Send the key as `Authorization: Bearer <key>`');
    }
    await next();
  };
}

/** Whether an Authorization header carries the admin key, for a route that also takes something else. */
export function createKeyCheck(adminToken: string): (authorization: string | undefined) => boolean {
  const expected = digest(adminToken);
  return (authorization) => {
    const [, key] = /^Bearer +(\S+)$/i.exec(authorization ?? '') ?? [];
    // Digests, so that neither the length nor a matching beginning shows in the time it takes.
    return key !== undefined && timingSafeEqual(digest(key), expected);
  };
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
