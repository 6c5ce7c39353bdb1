import { setTimeout as sleep } from 'node:timers/promises';
import type { Sql } from 'postgres';
import { waitUntil } from '../support/embedded-place.ts';

/**
 * Lets the time pass that retries and the leases of the killed wait for, until nothing is left to send. Leases are 90 s
 * long; those taken in the last seconds may be of one who lives.
 */
export async function drain(sql: Sql): Promise<void> {
  await waitUntil('all is delivered', async () => {
    await sql`UPDATE deliveries SET next_attempt_at = now()
      WHERE status = 'pending' AND next_attempt_at > now()
        AND (lease_owner IS NULL OR next_attempt_at < now() + interval '87 seconds')`;
    const [row] = await sql`SELECT count(*)::int AS pending FROM deliveries WHERE status = 'pending'`;
    await sleep(100);
    return row?.pending === 0;
  });
}
