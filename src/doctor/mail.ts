import { readBehind } from '../store/standing.ts';
import { readStatistics } from '../store/statistics.ts';
import { span } from './ago.ts';
import type { DoctorContext } from './context.ts';
import { fail, ok, warn } from './report.ts';
import type { Check } from './run-checks.ts';

const area = 'mail';
const DEAD_DAYS = 7;
/** A dispatcher looks each second, and a slow endpoint has its own limits. */
const OVERDUE_MS = 2 * 60_000;
const FEED_LAG_MS = 60_000;

/** What has not got through. Nothing of it is lost, and a person may have to see to it. */
export function mailChecks({ database: { sql } }: DoctorContext): Check[] {
  const behind = () => readBehind(sql, { deadDays: DEAD_DAYS });
  return [
    {
      id: 'mail.stubs',
      area,
      subject: 'stored',
      async look() {
        const { failedStubs, failedStubsAt } = await behind();
        if (failedStubs === 0) return ok('nothing was given up');
        return warn(
          `${failedStubs} could not be stored`,
          `GET /v1/sources/${failedStubsAt}/stubs?status=failed tells why`,
        );
      },
    },
    {
      id: 'mail.gaps',
      area,
      subject: 'gaps',
      async look() {
        const { oldGaps, oldGapsAt } = await behind();
        if (oldGaps === 0) return ok('none is open for more than a day');
        return warn(
          `${oldGaps} open for more than a day`,
          `GET /v1/gaps?source=${oldGapsAt} tells of which stretch; POST /v1/sources/${oldGapsAt}/sync {"since": "..."} reads it again`,
        );
      },
    },
    {
      id: 'mail.deliveries',
      area,
      subject: 'delivered',
      async look() {
        const { deadDeliveries, deadDeliveriesAt } = await behind();
        if (deadDeliveries === 0) return ok(`nothing was given up in ${DEAD_DAYS} days`);
        return warn(
          `${deadDeliveries} given up in ${DEAD_DAYS} days`,
          `POST /v1/endpoints/${deadDeliveriesAt}/retry {"since": "..."} tries them once more, when it is mended`,
        );
      },
    },
    {
      id: 'mail.dispatch',
      area,
      subject: 'dispatched',
      async look() {
        const { pendingDeliveries, overdueSeconds, feedLagSeconds } = await readStatistics(sql);
        if (overdueSeconds * 1000 > OVERDUE_MS) {
          return fail(
            `a webhook has been due for ${span(overdueSeconds * 1000)}, of ${pendingDeliveries} that wait`,
            'start `mailgress serve` without --no-dispatch; if it runs, look whether an endpoint is slow',
          );
        }
        if (feedLagSeconds * 1000 > FEED_LAG_MS) {
          return warn(
            `a transaction that writes runs for ${span(feedLagSeconds * 1000)}, and holds the feed back`,
            'find it in pg_stat_activity, and end it',
          );
        }
        return ok(pendingDeliveries === 0 ? 'nothing waits' : `${pendingDeliveries} wait, none overdue`);
      },
    },
  ];
}
