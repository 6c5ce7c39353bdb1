import type { Ingest } from './ingest.ts';
import type { Metrics } from './ops/metrics.ts';
import type { AttemptRecord } from './store/attempts.ts';
import type { ClaimedDelivery } from './store/claims.ts';

/** The same door, counted. */
export function countMails(ingest: Ingest, metrics: Metrics): Ingest {
  return async (mail, origin, isOneOfMany) => {
    const startedMs = performance.now();
    let result = 'error';
    try {
      const outcome = await ingest(mail, origin, isOneOfMany);
      result = outcome.status;
      return outcome;
    } finally {
      metrics.ingested({ kind: origin.kind, result, durationMs: performance.now() - startedMs });
    }
  };
}

/** What a dispatcher is given to tell of its attempts. */
export function countAttempts(metrics: Metrics): (delivery: ClaimedDelivery, record: AttemptRecord) => void {
  return ({ eventCreatedAt }, { status, statusCode, startedAt, durationMs }) =>
    metrics.attempted({
      result: status === 'succeeded' ? 'succeeded' : statusCode === null ? 'unreachable' : 'refused',
      durationMs,
      sinceEventMs: startedAt.getTime() + durationMs - eventCreatedAt.getTime(),
    });
}
