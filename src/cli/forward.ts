import { describeError } from '../core/errors.ts';
import { sign } from '../core/signature.ts';
import type { LoggedEvent } from './follow-events.ts';

/** What came of one try. */
export type Forwarded = { isTaken: boolean; status: number | null; error: string | null; durationMs: number };

/** As a webhook is given up by the service. */
const TIMEOUT_MS = 15_000;

/**
 * Posts an event as the service would send it: the same body and headers, signed as Standard Webhooks ask.
 *
 * @param signal ends the try; it then counts as not taken.
 */
export async function forwardEvent(
  { id, type, timestamp, data }: LoggedEvent,
  to: { url: string; secret: string; userAgent: string },
  signal: AbortSignal,
): Promise<Forwarded> {
  const body = JSON.stringify({ type, timestamp, data });
  const seconds = Math.floor(Date.now() / 1000);
  const startedMs = performance.now();
  const since = () => Math.round(performance.now() - startedMs);
  try {
    const response = await fetch(to.url, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'user-agent': to.userAgent,
        'webhook-id': id,
        'webhook-timestamp': String(seconds),
        'webhook-signature': sign({ id, timestamp: seconds, body, secrets: [to.secret] }),
      },
      body,
      // The service follows none either.
      redirect: 'manual',
      signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
    });
    await response.body?.cancel();
    return { isTaken: response.ok, status: response.status, error: null, durationMs: since() };
  } catch (error) {
    const isLate = error instanceof Error && error.name === 'TimeoutError';
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
    const reason = isLate ? `no answer in ${TIMEOUT_MS / 1000} s` : describeError(cause);
    return { isTaken: false, status: null, error: reason, durationMs: since() };
  }
}
