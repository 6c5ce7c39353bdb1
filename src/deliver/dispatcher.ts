import { randomUUID } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import type { Logger } from 'pino';
import { MailgressError } from '../core/errors.ts';
import type { Id } from '../core/ids.ts';
import type { Verdict } from '../core/rules.ts';
import type { Keyring } from '../core/sealed.ts';
import { type AttemptRecord, type Recorded, recordAttempts } from '../store/attempts.ts';
import { type ClaimedDelivery, claimDueDeliveries, releaseDeliveries } from '../store/claims.ts';
import type { Database } from '../store/database.ts';
import { disableEndpoint } from '../store/endpoints.ts';
import { createGroupCommit } from '../store/group-commit.ts';
import { type Lane, wakeLanes } from '../store/lanes.ts';
import { enterSubjectGroups } from '../store/subject-groups.ts';
import { describeStoreError } from '../store/unavailable.ts';
import { recordVerdicts, type VerdictRecord } from '../store/verdicts.ts';
import { attemptDelivery } from './attempt-delivery.ts';
import { judgeClaim } from './judge-claim.ts';
import type { Poster } from './post.ts';

/*
 * Deliveries are claimed by lease, judged by their endpoint's rules, tried, and recorded. What the rules hold or leave out is
 * given back instead. Three things make the dispatcher look for due ones: a wake-up
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
const SHORTEST_PACE_MS = 50;
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
  /** The clock of rules. */
  now?: (() => Date) | undefined;
}): Dispatcher {
  const { database, keyring, poster, log, random = Math.random, now = () => new Date() } = options;
  const sql = database.hot;
  const underWay = new Set<Promise<void>>();
  const fullEndpoints = new Set<Id<'ep'>>();
  const pacers = new Map<Id<'ep'>, NodeJS.Timeout>();
  let claiming: Promise<void> | undefined;
  let isWanted = false;
  let isStopped = false;

  const groups = {
    maxRows: 256,
    maxBytes: 4 * 1024 * 1024,
    gatherMs: 3,
    maxFlushes: 2,
    maxPendingBytes: Number.POSITIVE_INFINITY,
    deadlineMs: 15_000,
  };
  const records = createGroupCommit<AttemptRecord, Recorded>({
    ...groups,
    flush: (rows) => recordAttempts(sql, rows),
    sizeOf: (row) => 512 + (row.responseExcerpt?.length ?? 0),
  });
  const verdicts = createGroupCommit<VerdictRecord, boolean>({
    ...groups,
    flush: (rows) => recordVerdicts(sql, rows),
    sizeOf: (row) => 256 + JSON.stringify(row.rules).length,
  });
  const lanes = createGroupCommit<Lane, boolean>({
    ...groups,
    flush: async (rows) => {
      const areWoken = await wakeLanes(sql, rows);
      return rows.map(() => areWoken);
    },
    sizeOf: () => 128,
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
      for (const { endpoint } of claim.deliveries) {
        if (claim.fullEndpoints.has(endpoint.id)) fullEndpoints.add(endpoint.id);
        else fullEndpoints.delete(endpoint.id);
      }
      const judged = await judgeClaim(claim.deliveries, {
        now: now(),
        enterGroups: (entries) => database.inTime(enterSubjectGroups(sql, entries)),
      }).catch(async (error: unknown) => {
        await database.inTime(releaseDeliveries(sql, claim.deliveries));
        throw error;
      });
      if (isStopped) return database.inTime(releaseDeliveries(sql, claim.deliveries));
      for (const { delivery, verdict } of judged) start(delivery, verdict);
      for (const lane of claim.parkedIn) track(wakeLane(lane));
      wakeByRate(claim.deliveries);
      if (claim.isMoreDue) isWanted = true;
    }
  }

  function start(delivery: ClaimedDelivery, verdict: Verdict): void {
    track('send' in verdict ? deliver(delivery) : giveBack(delivery, verdict), () => {
      // Only where a limit held deliveries back can there be more than the last claim found. A full endpoint may be
      // so by what other processes have under way: they know of it too, by their own claims.
      if (fullEndpoints.has(delivery.endpoint.id) || underWay.size >= MAX_IN_FLIGHT - 1) wake();
    });
  }

  /** @param work never rejects. */
  function track(work: Promise<void>, onEnd = () => {}): void {
    const run = work.finally(() => {
      underWay.delete(run);
      onEnd();
    });
    underWay.add(run);
  }

  /** An endpoint that took what its rate allowed is looked at again when it allows the next. */
  function wakeByRate(claimed: readonly ClaimedDelivery[]): void {
    for (const { endpoint } of claimed) {
      const { ratePerSecond } = endpoint;
      if (ratePerSecond === null || pacers.has(endpoint.id)) continue;
      const timer = setTimeout(
        () => {
          pacers.delete(endpoint.id);
          wake();
        },
        Math.max(SHORTEST_PACE_MS, 1000 / ratePerSecond),
      );
      pacers.set(endpoint.id, timer);
    }
  }

  /** Never rejects. */
  async function giveBack(
    delivery: ClaimedDelivery,
    verdict: Exclude<Verdict, { send: true }>,
  ): Promise<void> {
    try {
      await verdicts.submit({
        deliveryId: delivery.id,
        endpointId: delivery.endpoint.id,
        owner: delivery.owner,
        fence: delivery.fence,
        rule: 'skip' in verdict ? verdict.skip : verdict.rule,
        holdUntil: 'skip' in verdict ? null : verdict.holdUntil,
        rules: delivery.endpoint.rules,
      });
      if ('skip' in verdict && delivery.lane !== null) await wakeLane(delivery.lane);
    } catch (error) {
      // Its lease ends, and it is judged again.
      log.warn({ deliveryId: delivery.id, reason: describeStoreError(error) }, 'could not record a verdict');
    }
  }

  /** Never rejects: a lane that was not woken is found when all are looked over. */
  async function wakeLane(lane: Lane): Promise<void> {
    if (await lanes.submit(lane).catch(() => true)) wake();
  }

  /** Never rejects. */
  async function deliver(delivery: ClaimedDelivery): Promise<void> {
    const { record, outcome } = await attemptDelivery(delivery, { poster, keyring, random });
    options.onAttempt?.(delivery, record);
    try {
      const { isEndpointLost } = await keep(record);
      if (delivery.lane !== null && record.status !== 'pending') await wakeLane(delivery.lane);
      if (outcome.kind === 'gone' || isEndpointLost) {
        const reason = isEndpointLost ? 'for 5 days it did nothing but fail' : 'it answered 410 Gone';
        const { id, url } = delivery.endpoint;
        await database.inTime(disableEndpoint(sql, id, reason, url));
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
  async function keep(record: AttemptRecord): Promise<Recorded> {
    const endsMs = performance.now() + LEASE_MS;
    for (let waitMs = 100; ; waitMs = Math.min(waitMs * 2, 5000)) {
      try {
        const recorded = await records.submit(record);
        if (!recorded.isKept) {
          log.warn(
            { deliveryId: record.deliveryId },
            'a delivery was claimed again, or deleted or ended, before its record',
          );
        }
        return recorded;
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
      for (const timer of pacers.values()) clearTimeout(timer);
      await claiming;
      await Promise.all(underWay);
    },
  };
}
