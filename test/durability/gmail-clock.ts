import type { Sql } from 'postgres';

/** What the passing of time does, without it. */
export type Clock = AsyncDisposable & {
  /** The leases of the dead end. */
  endLeases(owners?: readonly string[]): Promise<void>;
  /** Who holds leases now. */
  leaseOwners(): Promise<string[]>;
};

const TICK_MS = 250;

/**
 * Lets pass what is waited for after faults: the patience that Gmail asked for, the ladders of sources, watches, mails
 * and deliveries. Leases of the living stay.
 */
export function startClock(sql: Sql): Clock {
  async function tick(): Promise<void> {
    await sql`UPDATE gmail_watches SET due_at = now() WHERE failures > 0 AND due_at > now()`;
    await sql`UPDATE stubs SET due_at = now() WHERE status = 'pending' AND due_at > now()`;
    await sql`UPDATE sources SET slow_until = NULL WHERE slow_until > now()`;
    await sql`
      UPDATE sources SET due_at = now()
      WHERE lease_owner IS NULL AND due_at > now() AND (
        failures > 0 OR EXISTS (SELECT FROM stubs WHERE source_id = sources.id AND status = 'pending')
        OR EXISTS (SELECT FROM gmail_watches watch WHERE watch.account = sources.account AND watch.failures > 0)
      )`;
    await sql`UPDATE deliveries SET next_attempt_at = now()
      WHERE status = 'pending' AND next_attempt_at > now() AND lease_owner IS NULL`;
  }

  let isOver = false;
  const ticking = (async () => {
    while (!isOver) {
      await tick();
      await new Promise((resolve) => setTimeout(resolve, TICK_MS));
    }
  })();

  return {
    async endLeases(owners) {
      const isOwner = owners === undefined ? sql`true` : sql`lease_owner = ANY (${owners}::uuid[])`;
      await sql`UPDATE sources SET lease_until = now() WHERE lease_owner IS NOT NULL AND ${isOwner}`;
      await sql`UPDATE deliveries SET next_attempt_at = now()
        WHERE status = 'pending' AND lease_owner IS NOT NULL AND ${isOwner}`;
    },
    async leaseOwners() {
      const rows = await sql<{ owner: string }[]>`
        SELECT lease_owner AS owner FROM sources WHERE lease_owner IS NOT NULL
        UNION SELECT lease_owner FROM deliveries WHERE lease_owner IS NOT NULL AND status = 'pending'`;
      return rows.map(({ owner }) => owner);
    },
    async [Symbol.asyncDispose]() {
      isOver = true;
      await ticking;
    },
  };
}
