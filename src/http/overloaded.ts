import type { Context, MiddlewareHandler } from 'hono';
import { MailgressError } from '../core/errors.ts';

/** Nothing was done with the request, and it may come again; the answer says when. */
export function overloaded(): MailgressError {
  return new MailgressError('overloaded', 'Too much comes at once; nothing was done, send it again shortly', {
    retryable: true,
  });
}

/**
 * Lets so many requests work at a time. What is beyond would only wait for the database, in a queue without an end.
 *
 * @param nameOf whose requests are counted together; undefined: of nobody who is limited. Without it, all.
 */
export function limitConcurrency(
  limit: number,
  nameOf: (c: Context) => string | undefined = () => '',
): MiddlewareHandler {
  const busy = new Map<string, number>();
  return async (c, next) => {
    const name = nameOf(c);
    if (name === undefined) return next();
    const own = busy.get(name) ?? 0;
    if (own >= limit) throw overloaded();
    busy.set(name, own + 1);
    try {
      await next();
    } finally {
      const left = (busy.get(name) ?? 1) - 1;
      if (left > 0) busy.set(name, left);
      else busy.delete(name);
    }
  };
}
