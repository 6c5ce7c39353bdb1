import type { MiddlewareHandler } from 'hono';
import { MailgressError } from '../core/errors.ts';

/** Nothing was done with the request, and it may come again; the answer says when. */
export function overloaded(): MailgressError {
  return new MailgressError('overloaded', 'Too much comes at once; nothing was done, send it again shortly', {
    retryable: true,
  });
}

/** Lets so many requests work at a time. What is beyond would only wait for the database, in a queue without an end. */
export function limitConcurrency(limit: number): MiddlewareHandler {
  let busy = 0;
  return async (_, next) => {
    if (busy >= limit) throw overloaded();
    busy++;
    try {
      await next();
    } finally {
      busy--;
    }
  };
}
