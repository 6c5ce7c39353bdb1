import type { Fragment, Sql } from 'postgres';
import { createId, type Id, uuidOf } from '../core/ids.ts';
import type { NewFolder } from '../core/imap-folder.ts';
import type { ImapCredentials, ImapSettings } from '../core/imap-settings.ts';
import type { Source } from '../core/resources.ts';
import type { Keyring } from '../core/sealed.ts';
import { logGaps } from './gap-filling.ts';
import { sealCredentials } from './secrets.ts';
import { findSource, WAITING_FOR_WORKER } from './sources.ts';
import { tellEndpoints } from './tell.ts';
import { isForeignKeyViolation } from './unavailable.ts';
import { isFolderWished } from './wished-folders.ts';

/** Has workers look for due sources. */
export const IMAP_CHANNEL = 'mailgress_imap';

/** What a source of kind imap is made of, beside the mailbox it is for. */
export type ImapSourceInput = {
  credentials: ImapCredentials;
  settings: ImapSettings;
  /** The folders it begins with, as they are now: mail behind them has not been read. */
  folders: readonly NewFolder[];
  /** From when on mail is read that is there already; undefined: only what comes from now on. */
  since: Date | undefined;
};

/** @returns undefined if there is no such mailbox. */
export async function createImapSource(
  sql: Sql,
  keyring: Keyring,
  mailboxId: Id<'mbx'>,
  { credentials, settings, folders, since }: ImapSourceInput,
): Promise<Source | undefined> {
  const id = createId('src');
  const column = <T>(read: (folder: NewFolder) => T) => folders.map(read);
  try {
    await sql`
      WITH made AS (
        INSERT INTO sources (id, mailbox_id, kind, state, reason, account, credentials, settings, last_proven_alive_at)
        VALUES (${uuidOf(id)}, ${uuidOf(mailboxId)}, 'imap', ${settings.standby ? 'standby' : 'disconnected'},
                ${settings.standby ? null : WAITING_FOR_WORKER}::text, ${credentials.user.toLowerCase()},
                ${sealCredentials(keyring, id, credentials)}, ${JSON.stringify(settings)}::text::jsonb, NULL)
        RETURNING id
      ), begun AS (
        INSERT INTO imap_folders (source_id, path, role, uid_validity, uid)
        SELECT made.id, folder.* FROM made, unnest(
          ${column(({ path }) => path)}::text[], ${column(({ role }) => role)}::text[],
          ${column(({ uidValidity }) => uidValidity)}::bigint[], ${column(({ uid }) => uid)}::bigint[]
        ) AS folder
      )
      INSERT INTO gaps (id, source_id, reason, recovered_by, since)
      SELECT ${uuidOf(createId('gap'))}, id, 'requested', 'search', ${since ?? null}::timestamptz FROM made
      WHERE ${since !== undefined}::boolean`;
  } catch (error) {
    if (isForeignKeyViolation(error)) return undefined;
    throw error;
  }
  return findSource(sql, id);
}

/** Longer than a mail that cannot be had is tried again, as after a change of UIDVALIDITY; clocks differ too. */
const RESET_MARGIN_DAYS = 3;

/**
 * Changes what is given and starts the source again. Whoever reads with what was before has lost its lease. The cursors stay,
 * but those of another account or server are none: it begins behind `folders`. Of the same account at another server what came
 * since it was last known to be read is listed again; a gap says so from the same commit on.
 */
export async function changeImapSource(
  sql: Sql,
  keyring: Keyring,
  id: Id<'src'>,
  change: {
    credentials: ImapCredentials | undefined;
    settings: ImapSettings;
    folders: readonly NewFolder[];
    /** Another account or server: the cursors of before are of other mails. */
    isOther: boolean;
    /** The same account, whose server has another name or has been left for another. */
    isMoved: boolean;
  },
): Promise<Source | undefined> {
  const { credentials, settings, folders, isOther, isMoved } = change;
  const paths = folders.map(({ path }) => path);
  const sealed = credentials && sealCredentials(keyring, id, credentials);
  const isOfOpenGap = sql`EXISTS (SELECT FROM gaps WHERE gaps.id = stubs.gap_id AND recovered_at IS NULL)`;
  await sql`
    WITH begun AS (
      INSERT INTO imap_folders (source_id, path, role, uid_validity, uid)
      SELECT ${uuidOf(id)}, folder.* FROM unnest(
        ${paths}::text[], ${folders.map(({ role }) => role)}::text[],
        ${folders.map(({ uidValidity }) => uidValidity)}::bigint[],
        ${folders.map(({ uid }) => uid)}::bigint[]
      ) AS folder
      ON CONFLICT (source_id, path) DO UPDATE SET
        role = excluded.role, refusals = 0, parked_until = NULL, error = NULL, strikes = 0,
        uid_validity = CASE WHEN ${isOther}::boolean THEN excluded.uid_validity ELSE imap_folders.uid_validity END,
        uid = CASE WHEN ${isOther}::boolean THEN excluded.uid ELSE imap_folders.uid END,
        mod_seq = CASE WHEN ${isOther}::boolean THEN NULL ELSE imap_folders.mod_seq END
    ), dropped AS (
      DELETE FROM imap_folders
      WHERE source_id = ${uuidOf(id)} AND ${isOther}::boolean AND path <> ALL(${paths}::text[])
    ), relisted AS (
      -- How far they were listed, the UIDs of the server before say.
      UPDATE gaps SET page_token = NULL, listed_at = NULL
      WHERE source_id = ${uuidOf(id)} AND recovered_at IS NULL AND ${isMoved}::boolean
        AND NOT (reason = 'reset' AND folder = ANY(${paths}::text[]))
    ), dropped_stubs AS (
      -- Their UIDs are others' there. Those of an open gap are listed again by it.
      DELETE FROM stubs
      WHERE source_id = ${uuidOf(id)} AND status = 'pending' AND ${isMoved}::boolean AND ${isOfOpenGap}
    ), orphaned AS (
      UPDATE stubs SET status = 'missing', error = 'the source got another server before it was fetched', updated_at = now()
      WHERE source_id = ${uuidOf(id)} AND status = 'pending' AND ${isOther}::boolean
        AND NOT (${isMoved}::boolean AND ${isOfOpenGap})
    ), gapped AS (
      INSERT INTO gaps (id, source_id, reason, folder, from_cursor, recovered_by, since)
      -- As the folders were before this statement; one by another name there may hold what any of them did.
      SELECT mailgress_uuidv7(), ${uuidOf(id)}::uuid, 'reset', now_there.path, now_there.path, 'search',
             coalesce(max(read_at) FILTER (WHERE before.path = now_there.path), min(read_at))
               - ${RESET_MARGIN_DAYS}::int * interval '1 day'
      FROM unnest(${paths}::text[]) AS now_there (path), imap_folders before
      WHERE before.source_id = ${uuidOf(id)} AND ${isMoved}::boolean
      GROUP BY now_there.path
      ${openAgain(sql)}
      RETURNING *
    ), logged AS (${logGaps(sql, 'gap.opened')}), told AS (${tellEndpoints(sql)})
    UPDATE sources SET
      settings = ${JSON.stringify(settings)}::text::jsonb,
      credentials = coalesce(${sealed ?? null}::bytea, credentials),
      account = coalesce(${credentials?.user.toLowerCase() ?? null}::text, account),
      is_wanted = true, wanted_at = now(), failures = 0, fault = NULL, mode = NULL, slow_until = NULL,
      -- One that does not sleep has cursors of its own to go on from: whether it may sleep is seen at its claim.
      state = CASE WHEN alarm IS NOT NULL THEN 'error'
                   WHEN state = 'standby' AND ${settings.standby}::boolean THEN state ELSE 'disconnected' END,
      reason = CASE WHEN state <> 'standby' OR NOT ${settings.standby}::boolean THEN ${WAITING_FOR_WORKER} END,
      due_at = now(), fence = fence + 1, lease_owner = NULL, lease_until = NULL
    WHERE id = ${uuidOf(id)}`;
  return findSource(sql, id);
}

/**
 * Keeps the refresh token that came in the place of another. Compare and set: a consent that was given meanwhile counts more.
 * Whoever showed the old one at the same moment was told that the consent is gone; it is not.
 */
export async function replaceRefreshToken(
  sql: Sql,
  keyring: Keyring,
  id: Id<'src'>,
  before: Uint8Array,
  credentials: ImapCredentials,
): Promise<Buffer> {
  const sealed = sealCredentials(keyring, id, credentials);
  await sql`
    UPDATE sources SET
      credentials = ${sealed},
      state = CASE WHEN state = 'needs_reauth' THEN 'error' ELSE state END,
      due_at = CASE WHEN state = 'needs_reauth' THEN now() ELSE due_at END
    WHERE id = ${uuidOf(id)} AND credentials = ${before}`;
  return sealed;
}

/**
 * Has read again what came since each folder was last known to be read. A gap says so from the same commit on. The cursors
 * stay: of the mail behind them the dates may be old, and what was stubbed or listed under their UIDs is still to be fetched.
 */
export async function resetImapSource(sql: Sql, id: Id<'src'>): Promise<Source | undefined> {
  await sql`
    WITH freed AS (
      UPDATE imap_folders SET mod_seq = NULL, refusals = 0, parked_until = NULL, error = NULL, strikes = 0
      FROM sources WHERE source_id = sources.id AND sources.id = ${uuidOf(id)}
      RETURNING source_id, path, read_at, ${isFolderWished(sql, 'sources')} AS is_wished
    ), gapped AS (
      INSERT INTO gaps (id, source_id, reason, folder, from_cursor, recovered_by, since)
      SELECT mailgress_uuidv7(), source_id, 'reset', path, path, 'search',
             read_at - ${RESET_MARGIN_DAYS}::int * interval '1 day'
      FROM freed WHERE is_wished
      ${openAgain(sql)}
      RETURNING *
    ), logged AS (${logGaps(sql, 'gap.opened')}), told AS (${tellEndpoints(sql)})
    UPDATE sources SET
      failures = 0, fault = NULL, due_at = now(), fence = fence + 1, lease_owner = NULL, lease_until = NULL
    WHERE id = ${uuidOf(id)} AND kind = 'imap'`;
  return findSource(sql, id);
}

/** A fragment: the gap of a folder that was reset before is listed from its beginning, and further back if it must. */
function openAgain(sql: Sql): Fragment {
  return sql`
      ON CONFLICT (source_id, reason, from_cursor, to_cursor) DO UPDATE SET
        recovered_at = NULL, listed_at = NULL, page_token = NULL, opened_at = now(), listed = 0,
        since = CASE WHEN gaps.recovered_at IS NULL THEN least(gaps.since, excluded.since) ELSE excluded.since END,
        recovered = CASE WHEN gaps.recovered_at IS NULL THEN gaps.recovered ELSE 0 END`;
}

/** What a change begins from. */
export async function findImapSource(
  sql: Sql,
  id: Id<'src'>,
): Promise<
  | {
      mailboxId: string;
      account: string | null;
      credentials: Uint8Array | null;
      settings: Record<string, unknown>;
    }
  | undefined
> {
  const [row] = await sql<
    [
      {
        mailboxId: string;
        account: string | null;
        credentials: Uint8Array | null;
        settings: Record<string, unknown>;
      }?,
    ]
  >`SELECT mailbox_id AS "mailboxId", account, credentials, settings FROM sources
    WHERE id = ${uuidOf(id)} AND kind = 'imap'`;
  return row;
}
