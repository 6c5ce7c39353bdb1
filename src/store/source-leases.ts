import { randomUUID } from 'node:crypto';
import type { Sql } from 'postgres';
import { createId, type Id, idOf, uuidOf } from '../core/ids.ts';
import type { Source } from '../core/resources.ts';
import { findSource } from './sources.ts';
import { tellEndpoints } from './tell.ts';

/*
 * Claims, and what a run keeps on its way, are committed without waiting for the disk; mails, hints and events are not. What a
 * crash of PostgreSQL takes back is read again from the cursor that it left, and runs into the ledger.
 */

/** The right to work on a source. What a holder writes names it, and touches nothing once another has claimed. */
export type Lease = { sourceId: Id<'src'>; owner: string; fence: number };

/** A source that is due and ours for a while, with all that its run begins from. */
export type ClaimedSource = {
  lease: Lease;
  mailboxId: Id<'mbx'>;
  tenant: string;
  address: string;
  authenticationServers: string[];
  account: string;
  /** Sealed. */
  credentials: Uint8Array | null;
  settings: Record<string, unknown>;
  state: Source['state'];
  failures: number;
  cursor: string | null;
  hintedHistoryId: string | null;
  lagLooks: number;
  settlingCursor: string | null;
  settlingAt: Date | null;
  syncedAt: Date | null;
  auditedAt: Date | null;
  createdAt: Date;
  /** Of its account; null before the first try to have one. */
  watch: { expiresAt: Date | null; dueAt: Date; error: string | null } | null;
  /** The database's clock at the claim, to the microsecond: hints that come later make it due again. */
  claimedAt: string;
};

/** A holder renews each third of it. */
export const LEASE_MS = 60_000;

/** The name of a process as the holder of leases, the first half of a UUID: `0123abcd-0123-4123-`. */
export function createHolder(): string {
  return randomUUID().slice(0, 19);
}

/**
 * Claims sources that are wanted and due, do not wait for a person, and were not told to be patient. The longest due
 * first, so that those that are due again and again keep no hint waiting. A claim is a lease: that of a dead holder ends
 * by itself.
 */
export async function claimGmailSources(
  sql: Sql,
  claim: { holder: string; limit: number },
): Promise<ClaimedSource[]> {
  // Another one for each claim: one that a crash took back leaves its fence to the next.
  const owner = `${claim.holder}${randomUUID().slice(claim.holder.length)}`;
  const rows = await sql<ClaimRow[]>`
    WITH due AS (
      SELECT id FROM sources
      WHERE kind = 'gmail' AND is_wanted AND state <> 'needs_reauth' AND state <> 'disabled'
        AND due_at <= now()
        AND (lease_until IS NULL OR lease_until <= now())
        AND (slow_until IS NULL OR slow_until <= now())
      ORDER BY due_at
      LIMIT ${claim.limit}
      FOR UPDATE SKIP LOCKED
    ), claimed AS (
      UPDATE sources SET
        lease_owner = ${owner}, fence = fence + 1,
        lease_until = now() + ${LEASE_MS}::int * interval '1 millisecond'
      WHERE id IN (SELECT id FROM due)
      RETURNING *
    )
    SELECT claimed.id, claimed.fence::int AS fence, mailbox_id AS "mailboxId", tenant, address,
           authentication_servers AS "authenticationServers", claimed.account, credentials, settings, state, claimed.failures,
           cursor, hinted_history_id::text AS "hintedHistoryId", lag_looks AS "lagLooks",
           settling_cursor AS "settlingCursor", settling_at AS "settlingAt", synced_at AS "syncedAt",
           audited_at AS "auditedAt", claimed.created_at AS "createdAt", clock_timestamp()::text AS "claimedAt",
           watch.expires_at AS "watchedUntil", watch.due_at AS "watchDueAt", watch.error AS "watchError",
           set_config('synchronous_commit', 'off', true)
    FROM claimed
    JOIN mailboxes ON mailboxes.id = mailbox_id
    LEFT JOIN gmail_watches watch ON watch.account = claimed.account`;
  return rows.map(({ id, fence, mailboxId, watchedUntil, watchDueAt, watchError, ...row }) => ({
    ...row,
    watch: watchDueAt && { expiresAt: watchedUntil, dueAt: watchDueAt, error: watchError },
    lease: { sourceId: idOf('src', id), owner, fence },
    mailboxId: idOf('mbx', mailboxId),
  }));
}

type ClaimRow = Omit<ClaimedSource, 'lease' | 'mailboxId' | 'watch'> & {
  id: string;
  fence: number;
  mailboxId: string;
  watchedUntil: Date | null;
  watchDueAt: Date | null;
  watchError: string | null;
};

/** @returns whether the lease was still ours, and the source is still wanted. */
export async function renewLease(sql: Sql, lease: Lease): Promise<boolean> {
  const rows = await sql`
    UPDATE sources SET lease_until = now() + ${LEASE_MS}::int * interval '1 millisecond'
    WHERE ${isHeld(sql, lease)} AND is_wanted
    RETURNING id, set_config('synchronous_commit', 'off', true)`;
  return rows.length > 0;
}

/** The condition on a row of sources that a lease is not stale. */
export function isHeld(sql: Sql, { sourceId, owner, fence }: Lease) {
  return sql`sources.id = ${uuidOf(sourceId)} AND sources.fence = ${fence} AND sources.lease_owner = ${owner}`;
}

/** What a run ended with. */
export type RunEnd = {
  state: Source['state'];
  reason: string | null;
  failures: number;
  lagLooks: number;
  /** The look was whole: everything up to when it was claimed is stored or stubbed. */
  isComplete: boolean;
  /** It has done something useful at least: the provider answered. */
  isAlive: boolean;
  /** Until it deserves another look. A stub that is due earlier makes it earlier. */
  dueInMs: number;
  /** So long nothing is to be asked, whatever is hinted; null: no such wish. */
  slowForMs: number | null;
  /** Undefined: as it was. */
  settling: { cursor: string; at: Date } | null | undefined;
};

/**
 * Gives the source back with what its run found. A change of its health is told: well, failing, in need of a person.
 *
 * @returns whether an event was appended; nothing is written with a stale lease.
 */
export async function endRun(sql: Sql, run: ClaimedSource, end: RunEnd): Promise<boolean> {
  const { lease } = run;
  const isTurned = healthOf(run.state) !== healthOf(end.state);
  const before = isTurned ? await findSource(sql, lease.sourceId) : undefined;
  const source: Source | undefined = before && { ...before, state: end.state, reason: end.reason };
  const data = { source, previous: run.state, reason: end.reason };
  const [told] = await sql<[{ count: number }]>`
    WITH ended AS (
      UPDATE sources SET
        -- Stopped in between, it has the state of that.
        state = CASE WHEN is_wanted THEN ${end.state} ELSE state END,
        reason = CASE WHEN is_wanted THEN ${end.reason}::text ELSE reason END,
        failures = ${end.failures}::int,
        -- A hint that came during the run begins its own count.
        lag_looks = CASE WHEN hinted_at > ${run.claimedAt}::timestamptz THEN 0 ELSE ${end.lagLooks}::int END,
        synced_at = CASE WHEN ${end.isComplete}::boolean THEN ${run.claimedAt}::timestamptz ELSE synced_at END,
        last_proven_alive_at = CASE WHEN ${end.isAlive}::boolean THEN now() ELSE last_proven_alive_at END,
        due_at = CASE
          -- Somebody wished for a look meanwhile; this one may have been past what it was wished for.
          WHEN due_at > ${run.claimedAt}::timestamptz AND due_at <= now() THEN due_at
          -- Or a hint came. After a failure its own wait counts for hints too.
          WHEN hinted_at > ${run.claimedAt}::timestamptz AND ${end.failures}::int = 0 THEN now()
          ELSE least(
            now() + ${end.dueInMs}::bigint * interval '1 millisecond',
            -- After a failure its own wait counts: stubs have been due all along.
            (SELECT min(due_at) FROM stubs
             WHERE source_id = sources.id AND status = 'pending' AND ${end.failures}::int = 0)
          )
        END,
        slow_until = greatest(slow_until, now() + ${end.slowForMs}::bigint * interval '1 millisecond'),
        settling_cursor = CASE WHEN ${end.settling === undefined}::boolean THEN settling_cursor
                               ELSE ${end.settling?.cursor ?? null}::text END,
        settling_at = CASE WHEN ${end.settling === undefined}::boolean THEN settling_at
                           ELSE ${end.settling?.at ?? null}::timestamptz END,
        lease_owner = NULL, lease_until = NULL
      WHERE ${isHeld(sql, lease)}
      RETURNING mailbox_id, is_wanted
    ), logged AS (
      INSERT INTO events (id, type, tenant, mailbox_id, data)
      SELECT ${uuidOf(createId('evt'))}, 'source.state_changed', ${run.tenant}, mailbox_id,
             ${JSON.stringify(data)}::text::json
      FROM ended WHERE is_wanted AND ${source !== undefined}::boolean
      RETURNING id, type, tenant
    ), told AS (${tellEndpoints(sql)})
    -- An event that somebody has read is not taken back: what comes after might have its xid, and be behind that reader.
    SELECT count(*)::int AS count, CASE WHEN count(*) = 0 THEN set_config('synchronous_commit', 'off', true) END
    FROM logged`;
  if (end.slowForMs !== null) await slowAccount(sql, run.account, end.slowForMs);
  return told.count > 0;
}

/** A limit is the account's, whichever tenant's source met it. */
async function slowAccount(sql: Sql, account: string, slowForMs: number): Promise<void> {
  await sql`
    UPDATE sources SET slow_until = greatest(slow_until, now() + ${slowForMs}::bigint * interval '1 millisecond')
    WHERE id IN (
      SELECT id FROM sources WHERE account = ${account} AND kind = 'gmail' ORDER BY id FOR NO KEY UPDATE
    )`;
}

/** Gives a source back as it was claimed, to be claimed again at once: for a process that stops. */
export async function releaseLease(sql: Sql, lease: Lease): Promise<void> {
  await sql`
    UPDATE sources SET lease_owner = NULL, lease_until = NULL, due_at = now() WHERE ${isHeld(sql, lease)}`;
}

type Health = 'well' | 'failing' | 'needs a person';

function healthOf(state: Source['state']): Health {
  if (state === 'needs_reauth' || state === 'disabled') return 'needs a person';
  return state === 'error' ? 'failing' : 'well';
}
