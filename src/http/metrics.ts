import { createRoute, type OpenAPIHono } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { z } from 'zod';
import { MailgressError } from '../core/errors.ts';
import { printMetric } from '../ops/exposition.ts';
import { printServiceGauges } from '../ops/metrics.ts';
import { withDeadline } from '../store/deadline.ts';
import { readStatistics, type Statistics } from '../store/statistics.ts';
import { describeStoreError } from '../store/unavailable.ts';
import { createKeyCheck } from './auth.ts';
import { createRouter, problems } from './openapi.ts';
import type { Services } from './services.ts';

/** Prometheus waits for 10 s by itself, and the process has something to say without the database. */
const DATABASE_DEADLINE_MS = 3000;

/** `/metrics`, for a key or for the token that is for this alone. */
export function metricsRoutes(services: Services): OpenAPIHono {
  const { database, feed, log, version } = services;
  const router = createRouter();
  const isMetricsToken =
    services.metricsToken === undefined ? () => false : createKeyCheck(services.metricsToken);

  /** They are of all tenants: a key that is bound to one does not open them. */
  async function mayRead(c: Context): Promise<boolean> {
    if (isMetricsToken(c.req.header('authorization'))) return true;
    // Without the database no key but the metrics token, and the admin's, can be looked up.
    const principal = await services.identify(c);
    return principal?.tenant === null;
  }

  router.openapi(
    createRoute({
      method: 'get',
      path: '/metrics',
      tags: ['health'],
      summary: 'Metrics for Prometheus; MAILGRESS_METRICS_TOKEN is a key for them alone',
      responses: {
        200: { description: 'Text format 0.0.4', content: { 'text/plain': { schema: z.string() } } },
        ...problems(401, 429),
      },
    }),
    async (c) => {
      if (!(await mayRead(c))) {
        throw new MailgressError(
          'unauthorized',
          'Send a key, or MAILGRESS_METRICS_TOKEN, as `Authorization: Bearer <key>`',
        );
      }
      const statistics = await withDeadline(readStatistics(database.sql), DATABASE_DEADLINE_MS).catch(
        (error) => {
          log.warn({ reason: describeStoreError(error) }, 'metrics without those of the database');
          return undefined;
        },
      );
      const gauges = printServiceGauges({
        version,
        pools: database.pools(),
        feedClients: feed.clientCount(),
        pushes: services.gate.use(),
        heldBytes: services.bodies.heldBytes(),
      });
      const text =
        services.metrics.print() + services.processMetrics.print() + gauges + printStatistics(statistics);
      return c.text(text, 200, {
        'content-type': 'text/plain; version=0.0.4; charset=utf-8',
        'cache-control': 'no-store',
      });
    },
  );

  return router;
}

function printStatistics(statistics: Statistics | undefined): string {
  const gauge = (name: string, help: string, value: number) => printMetric('gauge', name, help, [{ value }]);
  const up = gauge(
    'mailgress_database_up',
    '1 if the database answered for these metrics.',
    statistics ? 1 : 0,
  );
  if (statistics === undefined) return up;
  const { pendingDeliveries, oldestPendingSeconds, overdueSeconds, feedLagSeconds, sources, deadTuples } =
    statistics;
  return [
    up,
    gauge('mailgress_deliveries_pending', 'Deliveries that are still to be made.', pendingDeliveries),
    gauge(
      'mailgress_oldest_pending_delivery_age_seconds',
      'Age of the oldest of them that no rule holds, at an enabled endpoint.',
      oldestPendingSeconds,
    ),
    gauge(
      'mailgress_delivery_overdue_seconds',
      'How long the most overdue of them at an enabled endpoint has been due.',
      overdueSeconds,
    ),
    gauge(
      'mailgress_feed_lag_seconds',
      'Age of the oldest transaction that holds the feed back.',
      feedLagSeconds,
    ),
    printMetric(
      'gauge',
      'mailgress_sources',
      'Sources by kind and state.',
      sources.map(({ kind, state, count }) => ({ labels: { kind, state }, value: count })),
    ),
    printMetric(
      'gauge',
      'mailgress_table_dead_tuples',
      'Rows that vacuum has still to remove.',
      deadTuples.map(({ table, count }) => ({ labels: { table }, value: count })),
    ),
  ].join('');
}
