import { setTimeout as wait } from 'node:timers/promises';
import { MailgressError } from '../core/errors.ts';
import { tellBreak } from './tail.ts';

/** As `followEvents` waits for a service that is away. */
const WAITS_MS = { first: 500, longest: 30_000 };

/**
 * Asks for what goes on without us, as often as it takes: a service that is away or busy is asked again, with waits that grow,
 * and standard error tells of it.
 *
 * @throws whatever else `ask` does.
 */
export async function askPatiently<T>(ask: () => Promise<T>): Promise<T> {
  for (let waitMs = WAITS_MS.first; ; waitMs = Math.min(waitMs * 2, WAITS_MS.longest)) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof MailgressError) || error.code !== 'service_unavailable') throw error;
      tellBreak(error, waitMs);
      await wait(waitMs);
    }
  }
}
