import type { Context, MiddlewareHandler } from 'hono';
import type { Database } from '../store/database.ts';
import { withDeadline } from '../store/deadline.ts';

/**
 * A request is answered within the store's deadline, or told that the store is away. A read that is late is taken for a sign
 * of dead connections, which are then ended; but a change may rightly take long (a mailbox with all its mail), and what
 * waits for its turn is late by itself.
 */
export function answerInTime({ inTime, deadlineMs }: Database): MiddlewareHandler {
  return (c, next) =>
    c.req.method === 'GET' && !takesTurns(c) ? inTime(next()) : withDeadline(next(), deadlineMs);
}

/** Searches, raw mails and attachments: they have a patience of their own, and ask the store in time by themselves. */
function takesTurns({ req }: Context): boolean {
  return req.query('q') !== undefined || /\/(?:raw|attachments\/[^/]*)$/.test(req.path);
}
