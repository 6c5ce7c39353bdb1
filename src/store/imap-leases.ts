import { randomUUID } from 'node:crypto';
import type { Fragment, Sql } from 'postgres';
import { createId, type Id, idOf, uuidOf } from '../core/ids.ts';
import { IMAP_PRESETS } from '../core/imap-providers.ts';
import type { Source } from '../core/resources.ts';
import type { SourceFault } from '../core/source-retry.ts';
import { isCovered, isStandby } from './coverage.ts';
import { isHeld, type Lease } from './source-leases.ts';
import { findSource } from './sources.ts';
import { tellEndpoints } from './tell.ts';

/*
 * A source of kind imap is held while it has a connection, and free while it waits for its next try: whoever is there then
 * takes it, and neither a crash nor a new worker forgets the wait.
 */

/** A killed worker's sources run elsewhere within a minute: this, a scan, and the time to connect. */
export const IMAP_LEASE_MS = 45_000;
/** How long a standby sleeps until somebody looks whether it is needed, and one that found no free connection waits. */
const SLEEP_MS = 10_000;
const CROWDED_WAIT_MS = 30_000;

/** A source that is due and ours for a while, with all that its session begins from. */
export type ClaimedImapSource = {
  lease: Lease;
  mailboxId: Id<'mbx'>;
  tenant: string;
  address: string;
  authenticationServers: string[];
  account: string | null;
  /** Sealed; those that its session has put in their place, once it has. */
  credentials: Uint8Array | null;
  settings: Record<string, unknown>;
  fault: SourceFault | null;
  failures: number;
  hintedAt: Date | null;
  lastProvenAliveAt: Date | null;
  createdAt: Date;
  isStandby: boolean;
  /** It slept until now, while others read the mailbox. */
  hasSlept: boolean;
};

export type ImapClaim = {
  holder: string;
  limit: number;
  /** Connections that an account may have at a provider, by `settings.provider`. */
  budgets: Readonly<Record<string, number>>;
  /** This one source alone. */
  only?: Id<'src'> | undefined;
};

/**
 * Claims sources that are wanted and due and do not wait for a person, the longest due first. A standby whose mailbox is
 * read by others goes on sleeping; one whose account has all its connections in use waits.
 *
 * @returns what was claimed, and whether there may be more.
 */
export async function claimImapSources(
  sql: Sql,
  { holder, limit, budgets, only }: ImapClaim,
): Promise<{ claimed: ClaimedImapSource[]; hasMore: boolean }> {
  // Another one for each claim: one that a crash took back leaves its fence to the next.
  const owner = `${holder}${randomUUID().slice(holder.length)}`;
  const budgetOf = JSON.stringify(budgets);
  const rows = await sql<(ClaimRow & { seen: number })[]>`
    WITH due AS (
      SELECT id, account, ${hostOf(sql, 'sources')} AS host, ${connectionsOf(sql, 'sources')} AS wanted,
             coalesce((${budgetOf}::text::jsonb->>coalesce(settings->>'provider', 'generic'))::int, 1) AS budget,
             ${isStandby(sql, 'sources')} AND ${isCovered(sql)} AS is_covered, state AS before
      FROM sources
      WHERE kind = 'imap' AND is_wanted AND state <> 'needs_reauth' AND state <> 'disabled'
        AND due_at <= now()
        AND (lease_until IS NULL OR lease_until <= now())
        AND (slow_until IS NULL OR slow_until <= now())
        ${only === undefined ? sql`` : sql`AND id = ${uuidOf(only)}`}
      ORDER BY due_at
      LIMIT ${limit}
      FOR UPDATE SKIP LOCKED
    ), ranked AS (
      -- Those that want few first: one that finds no place keeps none from who would.
      SELECT *, account IS NULL OR sum(least(budget, wanted)) OVER (
          PARTITION BY account, host, is_covered ORDER BY least(budget, wanted), id
        ) + (
          SELECT coalesce(sum(least(budget, ${connectionsOf(sql, 'held')})), 0) FROM sources held
          WHERE held.kind = 'imap' AND held.account = due.account AND held.lease_until > now()
            AND ${hostOf(sql, 'held')} = due.host
        ) <= budget AS has_place
      FROM due
    ), asleep AS (
      UPDATE sources SET state = 'standby', reason = NULL, mode = NULL,
        due_at = now() + ${SLEEP_MS}::int * interval '1 millisecond'
      WHERE id IN (SELECT id FROM ranked WHERE is_covered)
    ), crowded AS (
      UPDATE sources SET reason = 'all connections that its account may have are in use',
        due_at = now() + ${CROWDED_WAIT_MS}::int * interval '1 millisecond'
      WHERE id IN (SELECT id FROM ranked WHERE NOT is_covered AND NOT has_place)
    ), claimed AS (
      UPDATE sources SET
        lease_owner = ${owner}, fence = fence + 1,
        lease_until = now() + ${IMAP_LEASE_MS}::int * interval '1 millisecond',
        -- One that slept was not to be heard of until now.
        wanted_at = CASE WHEN before = 'standby' THEN now() ELSE wanted_at END
      FROM ranked
      WHERE sources.id = ranked.id AND NOT is_covered AND has_place
      RETURNING sources.*, before
    )
    SELECT claimed.id, claimed.fence::int AS fence, mailbox_id AS "mailboxId", tenant, address,
           authentication_servers AS "authenticationServers", account, credentials, settings, fault, failures,
           hinted_at AS "hintedAt", last_proven_alive_at AS "lastProvenAliveAt", claimed.created_at AS "createdAt",
           coalesce((settings->>'standby')::boolean, false) AS "isStandby", before = 'standby' AS "hasSlept",
           (SELECT count(*)::int FROM due) AS seen, set_config('synchronous_commit', 'off', true)
    FROM (SELECT 1) one LEFT JOIN claimed ON true LEFT JOIN mailboxes ON mailboxes.id = mailbox_id`;
  return {
    hasMore: (rows[0]?.seen ?? 0) >= limit,
    claimed: rows.flatMap(({ id, fence, mailboxId, seen: _seen, ...row }) =>
      id === null
        ? []
        : [{ ...row, lease: { sourceId: idOf('src', id), owner, fence }, mailboxId: idOf('mbx', mailboxId) }],
    ),
  };
}

const PRESET_HOSTS = JSON.stringify(
  Object.fromEntries(Object.entries(IMAP_PRESETS).map(([provider, { host }]) => [provider, host])),
);

/** A fragment: where a source's account is. A host that is named counts as the same one that is its provider's. */
function hostOf(sql: Sql, table: 'sources' | 'held' | 'met' | 'other'): Fragment {
  const settings = sql`${sql(table)}.settings`;
  return sql`lower(coalesce(
    ${settings}->>'host', ${PRESET_HOSTS}::text::jsonb->>coalesce(${settings}->>'provider', 'generic'), ''
  ))`;
}

/** A fragment: one connection, and one for each folder that is to idle by itself; the main folder has the first. */
function connectionsOf(sql: Sql, table: 'sources' | 'held'): Fragment {
  const settings = sql`${sql(table)}.settings`;
  return sql`1 + jsonb_array_length(jsonb_path_query_array(${settings}, CASE
    WHEN ${settings}->>'provider' = 'gmail' AND ${settings} @? ${ALL_MAIL}::text::jsonpath THEN ${BESIDE_ALL_MAIL}::text::jsonpath
    ELSE ${BESIDE_INBOX}::text::jsonpath
  END))`;
}

const ALL_MAIL = '$.folders[*] ? (@.role == "all")';
const BESIDE_ALL_MAIL = '$.folders[*] ? (@.idle == true && !(@.role == "all"))';
const BESIDE_INBOX =
  '$.folders[*] ? (@.idle == true && !(@.role == "inbox") && !(@.path like_regex "^inbox$" flag "i"))';

type ClaimRow = Omit<ClaimedImapSource, 'lease' | 'mailboxId'> & {
  /** Null in the row that stands for none. */
  id: string | null;
  fence: number;
  mailboxId: string;
};

/** What became of a held source while its session runs. */
export type HeldSource = {
  sourceId: Id<'src'>;
  fence: number;
  isWanted: boolean;
  /** When a look was last wished for. */
  hintedAt: Date | null;
  /** A standby: another source of its mailbox is alive again. */
  isCovered: boolean;
};

/** Sources as they are now; one that was deleted is not among them. */
export async function readHeldSources(sql: Sql, ids: readonly Id<'src'>[]): Promise<HeldSource[]> {
  const rows = await sql<(Omit<HeldSource, 'sourceId'> & { id: string })[]>`
    SELECT id, fence::int AS fence, is_wanted AS "isWanted", hinted_at AS "hintedAt",
           ${isStandby(sql, 'sources')} AND ${isCovered(sql)} AS "isCovered"
    FROM sources WHERE id = ANY(${ids.map(uuidOf)}::uuid[])`;
  return rows.map(({ id, ...row }) => ({ ...row, sourceId: idOf('src', id) }));
}

/** @returns the ids of the leases that were still ours. */
export async function renewImapLeases(sql: Sql, leases: readonly Lease[]): Promise<Id<'src'>[]> {
  // Sorted: two processes that renew lock in one order.
  const sorted = [...leases].sort((a, b) => (a.sourceId < b.sourceId ? -1 : 1));
  const rows = await sql<{ id: string }[]>`
    UPDATE sources SET lease_until = now() + ${IMAP_LEASE_MS}::int * interval '1 millisecond'
    FROM unnest(
      ${sorted.map(({ sourceId }) => uuidOf(sourceId))}::uuid[],
      ${sorted.map(({ owner }) => owner)}::uuid[],
      ${sorted.map(({ fence }) => fence)}::bigint[]
    ) AS ours (id, owner, fence)
    WHERE sources.id = ours.id AND sources.lease_owner = ours.owner AND sources.fence = ours.fence
    RETURNING sources.id, set_config('synchronous_commit', 'off', true)`;
  return rows.map(({ id }) => idOf('src', id));
}

/** What a session ended with. */
export type SessionEnd = {
  state: Extract<Source['state'], 'disconnected' | 'backoff' | 'standby' | 'needs_reauth' | 'disabled'>;
  reason: string | null;
  fault: SourceFault | null;
  failures: number;
  /** Until it is tried again. */
  dueInMs: number;
  /** So long the account's other sources are left alone too; null: no such wish. */
  slowForMs: number | null;
};

/** Another has renewed the consent: so soon it is tried with that. */
const RENEWED_WAIT_MS = 10_000;

/**
 * Gives the source back. One that needs a person from now on is told of, once; what passes by itself is told when it has
 * lasted (`imap-outages.ts`). That a consent is gone counts for the credentials of `held` alone.
 *
 * @returns whether an event was appended; nothing is written with a stale lease.
 */
export async function endSession(sql: Sql, held: ClaimedImapSource, end: SessionEnd): Promise<boolean> {
  const { lease, account } = held;
  const needsPerson = end.state === 'needs_reauth' || end.state === 'disabled';
  const before = needsPerson ? await findSource(sql, lease.sourceId) : undefined;
  const source: Source | undefined = before && { ...before, state: end.state, reason: end.reason };
  const data = { source, previous: before?.state, reason: end.reason };
  const type = end.state === 'disabled' ? 'source.disabled' : 'source.state_changed';
  const [told] = await sql<[{ ended: number; count: number }]>`
    WITH ended AS (
      UPDATE sources SET
        -- Stopped in between, it has the state of that. What has been told as failing goes on failing until it is alive.
        state = CASE
          WHEN NOT is_wanted THEN state
          WHEN ${end.state} IN ('backoff', 'disconnected') AND alarm IS NOT NULL THEN 'error'
          ELSE ${end.state} END,
        reason = CASE WHEN is_wanted THEN ${end.reason}::text ELSE reason END,
        mode = NULL, fault = ${end.fault}::text, failures = ${end.failures}::int,
        -- Somebody may have wished for a look meanwhile: a failure's own wait counts for that too.
        due_at = now() + ${end.dueInMs}::bigint * interval '1 millisecond',
        slow_until = greatest(slow_until, now() + ${end.slowForMs}::bigint * interval '1 millisecond'),
        silent_at = CASE WHEN ${needsPerson}::boolean AND is_wanted THEN coalesce(silent_at, now()) ELSE silent_at END,
        alarm = CASE WHEN ${needsPerson}::boolean AND is_wanted THEN 'needs_person' ELSE alarm END,
        lease_owner = NULL, lease_until = NULL
      WHERE ${isHeld(sql, lease)}
        AND (${end.state !== 'needs_reauth'}::boolean OR credentials IS NOT DISTINCT FROM ${held.credentials}::bytea)
      RETURNING mailbox_id, is_wanted
    ), logged AS (
      INSERT INTO events (id, type, tenant, mailbox_id, data)
      SELECT ${uuidOf(createId('evt'))}, ${type}, ${held.tenant}, mailbox_id, ${JSON.stringify(data)}::text::json
      FROM ended WHERE is_wanted AND ${source !== undefined}::boolean
      RETURNING id, type, tenant
    ), told AS (${tellEndpoints(sql)})
    SELECT (SELECT count(*)::int FROM ended) AS ended, count(*)::int AS count,
           CASE WHEN count(*) = 0 THEN set_config('synchronous_commit', 'off', true) END
    FROM logged`;
  if (end.slowForMs !== null && account !== null) await slowAccount(sql, lease, end.slowForMs);
  if (told.ended === 0 && end.state === 'needs_reauth') {
    const reason = 'its consent was renewed while it was used';
    return endSession(sql, held, { ...end, state: 'backoff', reason, dueInMs: RENEWED_WAIT_MS });
  }
  return told.count > 0;
}

/**
 * A server's plea for patience is for the account, whichever tenant's source met it; and for no account of that name elsewhere,
 * where anybody could ask for it who runs a server.
 */
async function slowAccount(sql: Sql, { sourceId }: Lease, slowForMs: number): Promise<void> {
  await sql`
    UPDATE sources SET slow_until = greatest(slow_until, now() + ${slowForMs}::bigint * interval '1 millisecond')
    WHERE id IN (
      SELECT other.id FROM sources met JOIN sources other
        ON other.account = met.account AND other.kind = 'imap'
        AND ${hostOf(sql, 'other')} = ${hostOf(sql, 'met')}
      WHERE met.id = ${uuidOf(sourceId)}
      ORDER BY other.id FOR NO KEY UPDATE OF other
    )`;
}
