import type { Sql } from 'postgres';
import { createId, type Id, idOf, uuidOf } from '../core/ids.ts';
import { IMAP_PRESETS } from '../core/imap-providers.ts';
import { imapSettingsSchema } from '../core/imap-settings.ts';
import type { SourceKind } from '../core/message.ts';
import type { Source } from '../core/resources.ts';
import type { Keyring } from '../core/sealed.ts';
import { createSecret } from '../core/signature.ts';
import { inPageOrder, isInPage, type Page, type PageRequest, toPage } from './page.ts';
import { openSecrets, ROTATION_OVERLAP_MS, type SealedSecrets, secretContext } from './secrets.ts';
import { isForeignKeyViolation } from './unavailable.ts';

/** What an ingest route needs to know of a source to take its mail. */
export type IngressSource = {
  id: Id<'src'>;
  kind: SourceKind;
  mailboxId: Id<'mbx'>;
  tenant: string;
  address: string;
  authenticationServers: string[];
  isWanted: boolean;
  /** `whsec_...`, newest first; two while one is rotated. */
  secrets: string[];
  /** Whether there are stubs, which mail that is stored after all takes away. */
  hasStubs: boolean;
};

/** @returns the source and its secret, which no later call answers; undefined if there is no such mailbox. */
export async function createSource(
  sql: Sql,
  keyring: Keyring,
  { mailboxId, kind }: { mailboxId: Id<'mbx'>; kind: 'apps-script' | 'raw' },
): Promise<{ source: Source; secret: string } | undefined> {
  const id = createId('src');
  const secret = createSecret();
  try {
    // A push source has no connection of its own to make: it listens from the moment it exists.
    await sql`
      INSERT INTO sources (id, mailbox_id, kind, state, secret)
      VALUES (${uuidOf(id)}, ${uuidOf(mailboxId)}, ${kind}, 'idle', ${keyring.seal(secret, secretContext(id))})`;
  } catch (error) {
    if (isForeignKeyViolation(error)) return undefined;
    throw error;
  }
  const source = await findSource(sql, id);
  return source && { source, secret };
}

export async function listSources(
  sql: Sql,
  request: PageRequest & {
    mailboxId?: Id<'mbx'> | undefined;
    tenant?: string | undefined;
    state?: string | undefined;
  },
): Promise<Page<Source>> {
  const { mailboxId, tenant, state } = request;
  const rows = await sql<SourceRow[]>`
    ${selectSources(sql)}
    WHERE ${isInPage(sql, { id: 'sources.id', tenant: 'mailboxes.tenant' }, request)}
      ${mailboxId === undefined ? sql`` : sql`AND mailbox_id = ${uuidOf(mailboxId)}`}
      ${tenant === undefined ? sql`` : sql`AND tenant = ${tenant}`}
      ${state === undefined ? sql`` : sql`AND state = ${state}`}
    ${inPageOrder(sql, 'sources.id', request)}`;
  return toPage(rows.map(toSource), request);
}

export async function findSource(sql: Sql, id: Id<'src'>): Promise<Source | undefined> {
  const [row] = await sql<SourceRow[]>`${selectSources(sql)} WHERE sources.id = ${uuidOf(id)}`;
  return row && toSource(row);
}

/** Deletes the source with its stubs and gaps. What came through it stays with the mailbox. */
export async function deleteSource(sql: Sql, id: Id<'src'>): Promise<boolean> {
  const rows = await sql`DELETE FROM sources WHERE id = ${uuidOf(id)} RETURNING id`;
  return rows.length > 0;
}

/** The reason of a source that nobody works on yet. */
export const WAITING_FOR_WORKER = 'waits for a worker';

/** What start and stop set. */
export async function setSourceWanted(
  sql: Sql,
  id: Id<'src'>,
  isWanted: boolean,
): Promise<Source | undefined> {
  const runs = sql`${isWanted}::boolean AND kind = 'imap' AND is_wanted AND lease_until > now()`;
  // The session that was told to end is left to that: the next one begins.
  const isAgain = sql`${isWanted}::boolean AND kind = 'imap' AND NOT is_wanted`;
  await sql`
    UPDATE sources SET
      is_wanted = ${isWanted},
      -- One that a worker has to claim is not well before it has been.
      state = CASE WHEN ${runs} THEN state WHEN ${isWanted}::boolean AND kind <> 'imap' THEN 'idle' ELSE 'disconnected' END,
      reason = CASE WHEN ${runs} THEN reason WHEN ${isWanted}::boolean AND kind = 'imap' THEN ${WAITING_FOR_WORKER} END,
      mode = CASE WHEN ${runs} THEN mode END,
      -- Of an imap source what was told stays told until it is alive, or stopped.
      silent_at = CASE WHEN ${isWanted}::boolean AND kind = 'imap' THEN silent_at END,
      alarm = CASE WHEN ${isWanted}::boolean THEN alarm END,
      wanted_at = now(), failures = 0, fault = NULL, due_at = now(),
      fence = CASE WHEN ${isAgain} THEN fence + 1 ELSE fence END,
      lease_owner = CASE WHEN ${isAgain} THEN NULL ELSE lease_owner END,
      lease_until = CASE WHEN ${isAgain} THEN NULL ELSE lease_until END
    WHERE id = ${uuidOf(id)}`;
  return findSource(sql, id);
}

/**
 * Has it looked at now, unless its provider asked for patience. An imap source that waits after a failure keeps to its wait: each
 * look is a login, and servers lock who tries a wrong password too often. Whoever knows that it works again starts the source.
 */
export async function makeSourceDue(sql: Sql, id: Id<'src'>): Promise<void> {
  await sql`
    UPDATE sources SET
      due_at = CASE WHEN kind = 'imap' AND failures > 0 AND lease_owner IS NULL THEN due_at ELSE now() END,
      hinted_at = CASE WHEN kind = 'imap' THEN now() ELSE hinted_at END
    WHERE id = ${uuidOf(id)}`;
}

/** Makes a new secret; the one before counts for another day. */
export async function rotateSourceSecret(
  sql: Sql,
  keyring: Keyring,
  id: Id<'src'>,
): Promise<{ source: Source; secret: string } | undefined> {
  const secret = createSecret();
  await sql`
    UPDATE sources SET
      secret = ${keyring.seal(secret, secretContext(id))},
      previous_secret = secret,
      previous_secret_until = now() + ${ROTATION_OVERLAP_MS}::int * interval '1 millisecond'
    WHERE id = ${uuidOf(id)} AND secret IS NOT NULL`;
  const source = await findSource(sql, id);
  return source && { source, secret };
}

/** One indexed read, for the ingest routes. */
export async function findIngressSource(
  sql: Sql,
  keyring: Keyring,
  id: Id<'src'>,
): Promise<IngressSource | undefined> {
  const [row] = await sql<IngressRow[]>`
    SELECT kind, mailbox_id AS "mailboxId", tenant, address,
           authentication_servers AS "authenticationServers", is_wanted AS "isWanted", secret,
           previous_secret AS "previousSecret", previous_secret_until AS "previousSecretUntil",
           EXISTS (SELECT FROM stubs WHERE source_id = sources.id) AS "hasStubs"
    FROM sources JOIN mailboxes ON mailboxes.id = mailbox_id
    WHERE sources.id = ${uuidOf(id)}`;
  if (row === undefined) return undefined;
  const { kind, mailboxId, tenant, address, authenticationServers, isWanted, hasStubs } = row;
  return {
    id,
    kind,
    mailboxId: idOf('mbx', mailboxId),
    tenant,
    address,
    authenticationServers,
    isWanted,
    secrets: openSecrets(keyring, id, row),
    hasStubs,
  };
}

type ImapFolder = NonNullable<Source['imap']>['folders'][number];

type IngressRow = SealedSecrets & {
  kind: SourceKind;
  mailboxId: string;
  tenant: string;
  address: string;
  authenticationServers: string[];
  isWanted: boolean;
  hasStubs: boolean;
};

type SourceRow = Omit<
  Source,
  'mode' | 'imap' | 'counts' | 'nextAttemptAt' | 'lastProvenAliveAt' | 'lastMessageAt' | 'createdAt'
> & {
  isWatched: boolean;
  account: string | null;
  settings: Record<string, unknown>;
  mode: 'idle' | 'poll' | null;
  folders: ImapFolder[] | null;
  nextAttemptAt: Date;
  lastProvenAliveAt: Date | null;
  lastMessageAt: Date | null;
  createdAt: Date;
  failed: number;
  missing: number;
  openGaps: number;
};

function selectSources(sql: Sql) {
  return sql`
    SELECT sources.id, tenant, mailbox_id AS "mailboxId", address, kind, is_wanted AS wanted, state, reason, cursor,
           heartbeat AS script, left(lease_owner::text, 18) AS "leaseHolder", greatest(due_at, slow_until) AS "nextAttemptAt",
           sources.account, sources.settings, mode,
           CASE WHEN kind = 'imap' THEN (
             SELECT json_agg(json_build_object(
               'path', path, 'role', role, 'uidValidity', uid_validity, 'uid', uid, 'error', error,
               'parkedUntil', to_char(parked_until AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
             ) ORDER BY path)
             FROM imap_folders WHERE source_id = sources.id
           ) END AS folders,
           EXISTS (
             SELECT FROM gmail_watches WHERE gmail_watches.account = sources.account AND expires_at > now()
           ) AS "isWatched",
           (SELECT count(*)::int FROM stubs WHERE source_id = sources.id AND status = 'pending') AS lag,
           last_proven_alive_at AS "lastProvenAliveAt", last_message_at AS "lastMessageAt",
           sources.created_at AS "createdAt",
           (SELECT count(*)::int FROM stubs WHERE source_id = sources.id AND status = 'failed') AS failed,
           (SELECT count(*)::int FROM stubs WHERE source_id = sources.id AND status = 'missing') AS missing,
           (SELECT count(*)::int FROM gaps WHERE source_id = sources.id AND recovered_at IS NULL) AS "openGaps"
    FROM sources JOIN mailboxes ON mailboxes.id = mailbox_id`;
}

function toSource(row: SourceRow): Source {
  const { id, mailboxId, lastProvenAliveAt, lastMessageAt, createdAt, failed, missing, openGaps, ...rest } =
    row;
  const imap = rest.kind === 'imap' ? toImapState(row) : null;
  const isBusy = isPushingKind(rest.kind) || !rest.wanted || (imap !== null && rest.leaseHolder !== null);
  return {
    id: idOf('src', id),
    tenant: rest.tenant,
    mailboxId: idOf('mbx', mailboxId),
    address: rest.address,
    kind: rest.kind,
    wanted: rest.wanted,
    state: rest.state,
    mode: modeOf(row),
    reason: rest.reason,
    cursor: imap === null ? rest.cursor : imap.folders.map(cursorOf).join(' ') || null,
    script: rest.script,
    imap,
    lag: rest.lag,
    leaseHolder: rest.leaseHolder,
    nextAttemptAt: isBusy ? null : rest.nextAttemptAt.toISOString(),
    lastProvenAliveAt: lastProvenAliveAt?.toISOString() ?? null,
    lastMessageAt: lastMessageAt?.toISOString() ?? null,
    counts: { failed, missing, openGaps },
    createdAt: createdAt.toISOString(),
  };
}

function modeOf({ kind, state, mode, isWatched }: SourceRow): Source['mode'] {
  if (kind === 'imap') return state === 'standby' ? 'standby' : (mode ?? 'idle');
  return isPushingKind(kind) || isWatched ? 'push' : 'poll';
}

function toImapState({ account, settings, folders }: SourceRow): NonNullable<Source['imap']> {
  const { provider, host, port, security, standby } = imapSettingsSchema.parse(settings);
  const preset = IMAP_PRESETS[provider];
  return {
    provider,
    host: host ?? preset.host ?? null,
    port: port ?? null,
    security: security ?? preset.security,
    user: account,
    standby,
    folders: folders ?? [],
  };
}

/** As RFC 5092 writes it. */
function cursorOf({ path, uidValidity, uid }: ImapFolder): string {
  return `${encodeURIComponent(path)};UIDVALIDITY=${uidValidity}/;UID=${uid}`;
}

/** Whether a program of the other side brings its mail, so that there is nothing for us to look after. */
export function isPushingKind(kind: SourceKind): boolean {
  return kind === 'apps-script' || kind === 'raw';
}
