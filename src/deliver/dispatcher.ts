import { randomUUID } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import type { Logger } from 'pino';
import { MailgressError } from '../core/errors.ts';
import type { Id } from '../core/ids.ts';
import type { Keyring } from '../core/sealed.ts';
import {
  type AttemptRecord,
  type ClaimedDelivery,
  claimDueDeliveries,
  recordAttempts,
  releaseDeliveries,
} from '../store/claims.ts';
import type { Database } from '../store/database.ts';
import { disableEndpoint } from '../store/endpoints.ts';
import { createGroupCommit } from '../store/group-commit.ts';
import { describeStoreError } from '../store/unavailable.ts';
import { attemptDelivery } from './attempt-delivery.ts';
import type { Poster } from './post.ts';

/*
 * Deliveries are claimed by lease, tried, and recorded. Three things make the dispatcher look for due ones: a wake-up
 * in this process right after the commit that made them, a NOTIFY from a process that does not dispatch itself, and a
 * scan each second, which also finds retries that have become due and what a dead process had claimed.
 *
 * A lease is six times as long as the longest attempt, so it is not renewed. If recording takes longer (the database
 * is away), the lease ends, the delivery is made again by whoever claims it, and our record of it touches nothing:
 * that is where "at least once" is more than once.
 */

/** The channel that ingesting processes without a dispatcher notify. */
export const DELIVERIES_CHANNEL = 'mailgress_deliveries';

const CLAIM_LIMIT = 64;
const LEASE_MS = 90_000;
const SCAN_INTERVAL_MS = 1000;
/**
 * Over all endpoints: it bounds sockets and memory (an event holds up to 512 KiB of text). Dozens of endpoints that hang at
 * once can fill it; each attempt makes room again within 15 s, and a failed one waits by the schedule.
 */
export const MAX_IN_FLIGHT = 512;

export type Dispatcher = {
  /** Looks for due deliveries now. Call after a commit that made some. */
  wake(): void;
  /** Claims nothing more, lets what is under way end and be recorded, gives back the rest. */
  stop(): Promise<void>;
};

export function startDispatcher(options: {
  database: Database;
  keyring: Keyring;
  poster: Poster;
  log: Logger;
  /** Told of each attempt. */
  onAttempt?: ((delivery: ClaimedDelivery, record: AttemptRecord) => void) | undefined;
  random?: (() => number) | undefined;
  /** How often the backstop looks. */
  scanIntervalMs?: number | undefined;
}): Dispatcher {
  const { database, keyring, poster, log, random = Math.random } = options;
  const sql = database.hot;
  const underWay = new Set<Promise<void>>();
  const fullEndpoints = new Set<Id<'ep'>>();
  let claiming: Promise<void> | undefined;
  let isWanted = false;
  let isStopped = false;

  const records = createGroupCommit<AttemptRecord, boolean>({
    flush: (rows) => recordAttempts(sql, rows),
    sizeOf: (row) => 512 + (row.responseExcerpt?.length ?? 0),
    maxRows: 256,
    maxBytes: 4 * 1024 * 1024,
    gatherMs: 3,
    maxFlushes: 2,
    maxPendingBytes: Number.POSITIVE_INFINITY,
    deadlineMs: 15_000,
  });

  function wake(): void {
    isWanted = true;
    if (isStopped || claiming !== undefined) return;
    claiming = claimAll()
      .catch((error) => log.warn({ reason: describeStoreError(error) }, 'could not look for due deliveries'))
      .finally(() => {
        claiming = undefined;
        // A wake-up that came after the last look, and before this.
        if (isWanted) wake();
      });
  }

  async function claimAll(): Promise<void> {
    while (isWanted && !isStopped) {
      isWanted = false;
      const limit = Math.min(CLAIM_LIMIT, MAX_IN_FLIGHT - underWay.size);
      if (limit <= 0) return;
      const claim = await database.inTime(
        claimDueDeliveries(sql, { owner: randomUUID(), limit, leaseMs: LEASE_MS }),
      );
      if (isStopped) return database.inTime(releaseDeliveries(sql, claim.deliveries));
      for (const delivery of claim.deliveries) {
        const { id } = delivery.endpoint;
        if (claim.fullEndpoints.has(id)) fullEndpoints.add(id);
        else fullEndpoints.delete(id);
        start(delivery);
      }
      if (claim.isMoreDue) isWanted = true;
    }
  }

  function start(delivery: ClaimedDelivery): void {
    const run = deliver(delivery).finally(() => {
      underWay.delete(run);
      // Only where a limit held deliveries back can there be more than the last claim found. A full endpoint may be
      // so by what other processes have under way: they know of it too, by their own claims.
      if (fullEndpoints.has(delivery.endpoint.id) || underWay.size >= MAX_IN_FLIGHT - 1) wake();
    });
    underWay.add(run);
  }

  /** Never rejects. */
  async function deliver(delivery: ClaimedDelivery): Promise<void> {
    const { record, outcome } = await attemptDelivery(delivery, { poster, keyring, random });
    options.onAttempt?.(delivery, record);
    try {
      await keep(record);
      if (outcome.kind === 'gone') {
        await database.inTime(disableEndpoint(sql, delivery.endpoint.id, 'it answered 410 Gone'));
        // The other endpoints are told of it.
        wake();
      }
    } catch (error) {
      log.error(
        { deliveryId: delivery.id, reason: describeStoreError(error) },
        'could not record an attempt',
      );
    }
  }

  /** Records, waiting for a database that is away until the lease has ended and the record would count no more. */
  async function keep(record: AttemptRecord): Promise<void> {
    const endsMs = performance.now() + LEASE_MS;
    for (let waitMs = 100; ; waitMs = Math.min(waitMs * 2, 5000)) {
      try {
        if (!(await records.submit(record))) {
          log.warn({ deliveryId: record.deliveryId }, 'a later claim took over a delivery before its record');
        }
        return;
      } catch (error) {
        const isWorthWaiting = error instanceof MailgressError && error.retryable && !isStopped;
        if (!isWorthWaiting || performance.now() + waitMs > endsMs) throw error;
        await wait(waitMs);
      }
    }
  }

  const scan = setInterval(wake, options.scanIntervalMs ?? SCAN_INTERVAL_MS);
  database.listen(DELIVERIES_CHANNEL, wake);
  wake();

  return {
    wake,
    async stop() {
      isStopped = true;
      clearInterval(scan);
      await claiming;
      await Promise.all(underWay);
    },
  };
}
