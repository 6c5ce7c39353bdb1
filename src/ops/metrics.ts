import { createCounter, createHistogram, printMetric } from './exposition.ts';

/** What the service counts as it works. */
export type Metrics = {
  /** A mail came to its end at the door; `result` as the ingest answers, or `error` for one that was not taken. */
  ingested(mail: { kind: string; result: string; durationMs: number }): void;
  attempted(attempt: Attempt): void;
  /** A push was turned away before anything was done with it. */
  turnedAway(reason: string): void;
  /** A connection was closed before anything was read from it. */
  connectionDropped(): void;
  print(): string;
};

export type Attempt = {
  result: 'succeeded' | 'refused' | 'unreachable';
  durationMs: number;
  /** From the event to the end of the attempt. */
  sinceEventMs: number;
};

/** From what one statement takes to what Apps Script waits for. */
const INGEST_S = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15];
/** To the 15 s after which an attempt is given up. */
const ATTEMPT_S = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15];
/** To the days of the last retry. */
const DELIVERY_S = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600, 3600, 21_600, 86_400, 345_600];

export function createMetrics(): Metrics {
  const mails = createCounter(
    'mailgress_ingested_mails_total',
    'Mails that came in, by what became of them.',
  );
  const ingest = createHistogram(
    'mailgress_ingest_duration_seconds',
    'From raw mail to the commit that makes it durable.',
    INGEST_S,
  );
  const turnedAway = createCounter(
    'mailgress_pushes_turned_away_total',
    'Pushes that were told to come again later, by reason.',
  );
  const dropped = createCounter(
    'mailgress_http_connections_dropped_total',
    'Connections that were closed at once, since there were too many.',
  );
  const attempts = createCounter('mailgress_delivery_attempts_total', 'Webhook tries, by how they ended.');
  const attempt = createHistogram(
    'mailgress_delivery_attempt_duration_seconds',
    'How long consumers took to answer.',
    ATTEMPT_S,
  );
  const latency = createHistogram(
    'mailgress_delivery_latency_seconds',
    'From the event to the answer of the consumer that took it.',
    DELIVERY_S,
  );
  return {
    ingested({ kind, result, durationMs }) {
      mails.add({ source_kind: kind, result });
      ingest.observe({ source_kind: kind }, durationMs / 1000);
    },
    attempted({ result, durationMs, sinceEventMs }) {
      attempts.add({ result });
      attempt.observe({ result }, durationMs / 1000);
      // The clocks of two machines may differ.
      if (result === 'succeeded') latency.observe({}, Math.max(0, sinceEventMs) / 1000);
    },
    turnedAway: (reason) => turnedAway.add({ reason }),
    connectionDropped: () => dropped.add({}),
    print: () =>
      [mails, ingest, turnedAway, dropped, attempts, attempt, latency].map((one) => one.print()).join(''),
  };
}

/** What the API shows of a pool of the store. */
export type PoolUse = { pool: string; connections: number; statements: number };

/** Gauges of this process beside those that `process-metrics.ts` reads. */
export function printServiceGauges(gauges: {
  version: string;
  pools: readonly PoolUse[];
  feedClients: number;
  pushes: { busy: number; limit: number };
  heldBytes: number;
}): string {
  const pools = (read: (pool: PoolUse) => number) =>
    gauges.pools.map((pool) => ({ labels: { pool: pool.pool }, value: read(pool) }));
  return [
    printMetric('gauge', 'mailgress_build_info', 'The version that runs.', [
      { labels: { version: gauges.version }, value: 1 },
    ]),
    printMetric(
      'gauge',
      'mailgress_database_connections',
      'Open connections to PostgreSQL.',
      pools((pool) => pool.connections),
    ),
    printMetric(
      'gauge',
      'mailgress_database_statements',
      'Statements under way or waiting for a connection.',
      pools((pool) => pool.statements),
    ),
    printMetric('gauge', 'mailgress_feed_clients', 'Clients that follow the log as a stream.', [
      { value: gauges.feedClients },
    ]),
    printMetric('gauge', 'mailgress_pushes_at_work', 'Pushes that are being stored.', [
      { value: gauges.pushes.busy },
    ]),
    printMetric(
      'gauge',
      'mailgress_pushes_limit',
      'How many of them there may be, as fast as the database is now.',
      [{ value: gauges.pushes.limit }],
    ),
    printMetric('gauge', 'mailgress_bodies_bytes', 'Bytes of request bodies in memory.', [
      { value: gauges.heldBytes },
    ]),
  ].join('');
}
