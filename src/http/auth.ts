import { createHash, timingSafeEqual } from 'node:crypto';
import type { MiddlewareHandler } from 'hono';
import { MailgressError } from '../core/errors.ts';

/** Lets pass who carries the admin key: `Authorization: Bearer <key>`. */
export function requireKey(adminToken: string): MiddlewareHandler {
  const expected = digest(adminToken);
  return async (c, next) => {
    const [, key] = /^Bearer +(\S+)$/i.exec(c.req.header('authorization') ?? '') ?? [];
    // Digests, so that neither the length nor a matching beginning shows in the time it takes.
    if (key === undefined || !timingSafeEqual(digest(key), expected)) {
      throw new MailgressError('unauthorized', 'Send the key as `Authorization: Bearer <key>`');
    }
    await next();
  };
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
