import type { Fragment, Sql } from 'postgres';
import { createId, type Id, uuidOf } from '../core/ids.ts';
import type { FolderCursor, FolderJump, FolderPage, NewFolder } from '../core/imap-folder.ts';
import { logGaps } from './gap-filling.ts';
import { isHeld, type Lease } from './source-leases.ts';
import { tellEndpoints } from './tell.ts';
import { isFolderWished } from './wished-folders.ts';

/*
 * How far each folder has been read. A cursor counts under one UIDVALIDITY; it moves when everything it passes is stored,
 * together with the stubs of what could not be. Each write names the cursor it moves from and the lease, and touches nothing
 * if either is another's by now.
 */

export async function listFolderCursors(sql: Sql, sourceId: Id<'src'>): Promise<FolderCursor[]> {
  return sql<FolderCursor[]>`
    SELECT path, role, uid_validity::float8 AS "uidValidity", uid::float8 AS uid, mod_seq::text AS "modSeq",
           read_at AS "readAt", refusals, strikes
    FROM imap_folders WHERE source_id = ${uuidOf(sourceId)} ORDER BY path`;
}

/**
 * Moves a cursor behind a page, and keeps stubs of what is not stored of it: both or none.
 *
 * @returns false when the lease or the cursor is another's by now.
 */
export async function keepFolderPage(sql: Sql, lease: Lease, page: FolderPage): Promise<boolean> {
  const { passed } = page;
  const [kept] = await sql<[{ held: number }]>`
    WITH held AS (
      -- Not read_at: there may be more behind the page, and after a reset or new UIDs mail is listed from then on.
      UPDATE imap_folders SET uid = ${page.to}, mod_seq = coalesce(${page.modSeq}::numeric, mod_seq), refusals = 0, parked_until = NULL, error = NULL, strikes = 0
      FROM sources
      WHERE ${isHeld(sql, lease)} AND source_id = sources.id AND path = ${page.path}
        AND uid_validity = ${page.uidValidity} AND uid = ${page.from}
      RETURNING source_id
    ), stubbed AS (
      INSERT INTO stubs (id, source_id, provider_id, status, error, key, due_at)
      SELECT stub.id, held.source_id, provider_id, status, error, key, now() + due_in_ms * interval '1 millisecond'
      FROM held, unnest(
        ${passed.map(() => uuidOf(createId('stb')))}::uuid[],
        ${passed.map(({ providerId }) => providerId)}::text[],
        ${passed.map(({ status }) => status)}::text[],
        ${passed.map(({ error }) => error)}::text[],
        ${passed.map(({ key }) => key && Buffer.from(key).toString('hex'))}::uuid[],
        ${passed.map(({ dueInMs }) => dueInMs)}::bigint[]
      ) AS stub (id, provider_id, status, error, key, due_in_ms)
      -- Read a second time, the later look counts.
      ON CONFLICT (source_id, provider_id) DO UPDATE SET
        status = excluded.status, error = excluded.error, due_at = excluded.due_at, updated_at = now()
    )
    SELECT (SELECT count(*)::int FROM held) AS held, set_config('synchronous_commit', 'off', true)`;
  return kept.held > 0;
}

/**
 * Begins a folder behind `uid`. What came before and is wanted, because it is younger than `since`, is a gap from the same
 * commit on. Safe to repeat: a folder that is known stays as it is.
 *
 * @returns false when the lease is another's by now.
 */
export async function addFolder(
  sql: Sql,
  lease: Lease,
  folder: NewFolder & { since: Date | null },
): Promise<boolean> {
  const [kept] = await sql<[{ held: number }]>`
    WITH held AS (SELECT id FROM sources WHERE ${isHeld(sql, lease)} FOR NO KEY UPDATE),
    added AS (
      INSERT INTO imap_folders (source_id, path, role, uid_validity, uid)
      SELECT id, ${folder.path}, ${folder.role}::text, ${folder.uidValidity}, ${folder.uid} FROM held
      ON CONFLICT DO NOTHING
      RETURNING source_id, path
    ), gapped AS (
      INSERT INTO gaps (id, source_id, reason, folder, from_cursor, recovered_by, since)
      SELECT ${uuidOf(createId('gap'))}, source_id, 'requested', path, path, 'search', ${folder.since}::timestamptz
      FROM added WHERE ${folder.since !== null}::boolean
        -- A reset has said from when on.
        AND NOT EXISTS (
          SELECT FROM gaps WHERE gaps.source_id = added.source_id AND folder = added.path AND reason = 'reset'
            AND recovered_at IS NULL
        )
      ON CONFLICT (source_id, reason, from_cursor, to_cursor) DO UPDATE SET
        since = least(gaps.since, excluded.since), page_token = NULL, listed_at = NULL, recovered_at = NULL
    )
    SELECT (SELECT count(*)::int FROM held) AS held`;
  return kept.held > 0;
}

/**
 * Moves a cursor to where it cannot be read to: under another UIDVALIDITY, or past what somebody else has read. A gap stands
 * for what is jumped over, from the same commit on. What was still to be fetched or listed under the old UIDVALIDITY is found
 * by it, or listed anew.
 *
 * @returns whether it was done, and whether an event was appended.
 */
export async function jumpFolder(
  sql: Sql,
  lease: Lease,
  jump: FolderJump,
): Promise<{ isHeld: boolean; isTold: boolean }> {
  const isOther = jump.from.uidValidity !== jump.to.uidValidity;
  const [jumped] = await sql<[{ held: number; logged: number }]>`
    WITH held AS (
      UPDATE imap_folders SET uid_validity = ${jump.to.uidValidity}, uid = ${jump.to.uid}, mod_seq = NULL, strikes = 0
      FROM sources
      WHERE ${isHeld(sql, lease)} AND source_id = sources.id AND path = ${jump.path}
        AND uid_validity = ${jump.from.uidValidity} AND uid = ${jump.from.uid}
      RETURNING source_id, path
    ), relisted AS (
      -- Its listing names UIDs that mean others now.
      UPDATE gaps SET page_token = NULL, listed_at = NULL FROM held
      WHERE gaps.source_id = held.source_id AND gaps.folder = held.path AND gaps.recovered_at IS NULL
        AND ${isOther}::boolean
      RETURNING gaps.id
    ), dropped AS (
      -- Their gap lists them again, by what they are called now.
      DELETE FROM stubs USING held
      WHERE stubs.source_id = held.source_id AND stubs.status = 'pending' AND ${isOther}::boolean
        AND stubs.gap_id IN (SELECT id FROM relisted) AND starts_with(stubs.provider_id, ${`${jump.fromPlace}/;`})
    ), orphaned AS (
      UPDATE stubs SET status = 'missing', error = 'the folder got new UIDs before it was fetched', updated_at = now()
      FROM held
      WHERE stubs.source_id = held.source_id AND stubs.status = 'pending' AND ${isOther}::boolean
        AND (stubs.gap_id IS NULL OR stubs.gap_id NOT IN (SELECT id FROM relisted))
        AND starts_with(stubs.provider_id, ${`${jump.fromPlace}/;`})
    ), gapped AS (
      INSERT INTO gaps (id, source_id, reason, folder, from_cursor, to_cursor, recovered_by, since)
      SELECT ${uuidOf(createId('gap'))}::uuid, source_id, ${jump.reason}, path,
             ${`${jump.fromPlace}/;UID=${jump.from.uid}`}, ${`${jump.toPlace}/;UID=${jump.to.uid}`}, 'search',
             ${jump.since}::timestamptz
      FROM held WHERE ${jump.since !== null}::boolean
      ON CONFLICT (source_id, reason, from_cursor, to_cursor) DO UPDATE SET
        recovered_at = NULL, listed_at = NULL, page_token = NULL, opened_at = now(),
        since = least(gaps.since, excluded.since), listed = 0,
        recovered = CASE WHEN gaps.recovered_at IS NULL THEN gaps.recovered ELSE 0 END
      RETURNING *
    ), logged AS (${logGaps(sql, 'gap.opened')}), told AS (${tellEndpoints(sql)})
    SELECT (SELECT count(*)::int FROM held) AS held, (SELECT count(*)::int FROM logged) AS logged`;
  return { isHeld: jumped.held > 0, isTold: jumped.logged > 0 };
}

/** The folder was read to its end: by `readAt`, at this mod-sequence. */
export async function noteFolderRead(
  sql: Sql,
  lease: Lease,
  { path, modSeq }: { path: string; modSeq: string | null },
): Promise<void> {
  await changeFolder(
    sql,
    lease,
    path,
    sql`read_at = now(), mod_seq = ${modSeq}::numeric, refusals = 0, parked_until = NULL, error = NULL, strikes = 0`,
  );
}

/** Its SELECT was refused. @param parkForMs null: it is tried again as usual. */
export async function noteFolderRefused(
  sql: Sql,
  lease: Lease,
  { path, error, parkForMs }: { path: string; error: string; parkForMs: number | null },
): Promise<void> {
  await changeFolder(
    sql,
    lease,
    path,
    sql`refusals = refusals + 1, error = ${error},
        parked_until = now() + ${parkForMs}::bigint * interval '1 millisecond'`,
  );
}

/** A connection ended, or FETCH was refused, while the mails behind its cursor were listed or fetched. */
export async function noteFolderStrike(sql: Sql, lease: Lease, path: string): Promise<void> {
  await changeFolder(sql, lease, path, sql`strikes = strikes + 1`);
}

async function changeFolder(sql: Sql, lease: Lease, path: string, change: Fragment): Promise<void> {
  await sql`
    WITH changed AS (
      UPDATE imap_folders SET ${change} FROM sources
      WHERE ${isHeld(sql, lease)} AND source_id = sources.id AND path = ${path}
    )
    SELECT set_config('synchronous_commit', 'off', true)`;
}

/** Which of these keys a mail of the mailbox has been stored under; as hex. */
export async function findStoredKeys(
  sql: Sql,
  mailboxId: Id<'mbx'>,
  keys: readonly Uint8Array[],
): Promise<Set<string>> {
  const rows = await sql<{ key: string }[]>`
    SELECT key FROM dedupe_ledger
    WHERE mailbox_id = ${uuidOf(mailboxId)}
      AND key = ANY(${keys.map((key) => Buffer.from(key).toString('hex'))}::uuid[])`;
  return new Set(rows.map(({ key }) => key.replaceAll('-', '')));
}

/** What is left to do beside new mail. */
export type Backlog = { hasOpenGaps: boolean; hasDueStubs: boolean; nextStubInMs: number | null };

export async function readBacklog(sql: Sql, sourceId: Id<'src'>): Promise<Backlog> {
  const [row] = await sql<[Backlog]>`
    SELECT EXISTS (
             SELECT FROM gaps WHERE source_id = ${uuidOf(sourceId)} AND recovered_at IS NULL
           ) AS "hasOpenGaps",
           coalesce(min(due_at) <= now(), false) AS "hasDueStubs",
           -- Null where there is none, which greatest() would leave out.
           CASE WHEN min(due_at) IS NOT NULL THEN
             (extract(epoch FROM greatest(min(due_at) - now(), interval '0')) * 1000)::float8
           END AS "nextStubInMs"
    FROM stubs WHERE source_id = ${uuidOf(sourceId)} AND status = 'pending'`;
  return row;
}

/** Turns a wish for all folders into one for each that is to be read, now that they are known. */
export async function spreadGap(sql: Sql, lease: Lease, gapId: Id<'gap'>): Promise<void> {
  await sql`
    WITH spread AS (
      DELETE FROM gaps USING sources
      WHERE gaps.id = ${uuidOf(gapId)} AND ${isHeld(sql, lease)} AND gaps.source_id = sources.id AND folder IS NULL
        AND EXISTS (
          SELECT FROM imap_folders WHERE imap_folders.source_id = sources.id AND ${isFolderWished(sql, 'sources')}
        )
      RETURNING gaps.source_id, gaps.reason, gaps.since, gaps.until
    )
    INSERT INTO gaps (id, source_id, reason, folder, from_cursor, recovered_by, since, until)
    SELECT mailgress_uuidv7(), spread.source_id, spread.reason, path, path, 'search', since, until
    FROM spread JOIN sources ON sources.id = spread.source_id JOIN imap_folders ON imap_folders.source_id = sources.id
    WHERE ${isFolderWished(sql, 'sources')}
    ON CONFLICT (source_id, reason, from_cursor, to_cursor) DO UPDATE SET
      since = CASE WHEN gaps.recovered_at IS NULL THEN least(gaps.since, excluded.since) ELSE excluded.since END,
      until = excluded.until, page_token = NULL, listed_at = NULL, listed = 0,
      recovered = CASE WHEN gaps.recovered_at IS NULL THEN gaps.recovered ELSE 0 END, recovered_at = NULL`;
}
