import type { Sql } from 'postgres';
import type { Credentials } from '../core/credentials.ts';
import { MailgressError } from '../core/errors.ts';
import { createId, type Id, idOf, uuidOf } from '../core/ids.ts';
import type { Source } from '../core/resources.ts';
import type { Keyring } from '../core/sealed.ts';
import { sealCredentials } from './secrets.ts';
import { findSource } from './sources.ts';
import { isForeignKeyViolation, isUniqueViolation } from './unavailable.ts';

/** What a source of kind gmail is made of, beside the mailbox it is for. */
export type GmailSourceInput = {
  /** As Gmail's profile has it. */
  account: string;
  credentials: Credentials;
  settings: Record<string, unknown>;
  /** The history id that everything after counts from. */
  cursor: string;
  /** From when on mail is read that came before it. */
  since: Date | undefined;
};

/**
 * @returns undefined if there is no such mailbox.
 * @throws MailgressError `conflict` if the mailbox has one.
 */
export async function createGmailSource(
  sql: Sql,
  keyring: Keyring,
  mailboxId: Id<'mbx'>,
  { account, credentials, settings, cursor, since }: GmailSourceInput,
): Promise<Source | undefined> {
  const id = createId('src');
  try {
    await sql`
      WITH made AS (
        INSERT INTO sources (id, mailbox_id, kind, state, account, credentials, settings, cursor,
                             last_proven_alive_at, audited_at)
        VALUES (${uuidOf(id)}, ${uuidOf(mailboxId)}, 'gmail', 'idle', ${account.toLowerCase()},
                ${sealCredentials(keyring, id, credentials)}, ${JSON.stringify(settings)}::text::jsonb, ${cursor}, now(), now())
        RETURNING id
      )
      INSERT INTO gaps (id, source_id, reason, recovered_by, since)
      SELECT ${uuidOf(createId('gap'))}, id, 'requested', 'search', ${since ?? null}::timestamptz FROM made
      WHERE ${since !== undefined}::boolean`;
  } catch (error) {
    if (isForeignKeyViolation(error)) return undefined;
    if (isUniqueViolation(error)) {
      throw new MailgressError('conflict', 'The mailbox has a source that reads Gmail; PATCH that one');
    }
    throw error;
  }
  return findSource(sql, id);
}

/** The gmail source of a mailbox. */
export async function findGmailSourceOf(sql: Sql, mailboxId: Id<'mbx'>): Promise<Id<'src'> | undefined> {
  const [row] = await sql<{ id: string }[]>`
    SELECT id FROM sources WHERE mailbox_id = ${uuidOf(mailboxId)} AND kind = 'gmail'`;
  return row && idOf('src', row.id);
}

/** They hold from now on: whoever reads with the old ones has lost its lease. */
export async function replaceSettings(
  sql: Sql,
  id: Id<'src'>,
  settings: Record<string, unknown>,
): Promise<void> {
  await sql`
    UPDATE sources SET
      settings = ${JSON.stringify(settings)}::text::jsonb, due_at = now(),
      fence = fence + 1, lease_owner = NULL, lease_until = NULL
    WHERE id = ${uuidOf(id)}`;
}

/** Gives a source new credentials and starts it. Its cursor stays: what it missed meanwhile is read, or is a gap. */
export async function replaceCredentials(
  sql: Sql,
  keyring: Keyring,
  id: Id<'src'>,
  { account, credentials }: Pick<GmailSourceInput, 'account' | 'credentials'>,
): Promise<void> {
  await sql`
    WITH watch AS (
      UPDATE gmail_watches SET due_at = now(), failures = 0 WHERE account = ${account.toLowerCase()} AND error IS NOT NULL
    )
    UPDATE sources SET
      account = ${account.toLowerCase()}, credentials = ${sealCredentials(keyring, id, credentials)},
      is_wanted = true, wanted_at = now(), failures = 0, slow_until = NULL,
      -- Whoever was told that it does not work is told that it does, by the first look that succeeds.
      state = CASE WHEN state IN ('needs_reauth', 'error') THEN 'error' ELSE 'idle' END,
      reason = CASE WHEN state IN ('needs_reauth', 'error') THEN 'has new credentials, not looked at yet' END,
      due_at = now(),
      -- Whoever reads with the old ones has lost its lease.
      fence = fence + 1, lease_owner = NULL, lease_until = NULL
    WHERE id = ${uuidOf(id)}`;
}

/** Forgets how far a source has read: its next look begins anew, and reads what came since the last good one again. */
export async function resetSource(sql: Sql, id: Id<'src'>): Promise<Source | undefined> {
  await sql`
    UPDATE sources SET
      cursor = NULL, settling_cursor = NULL, settling_at = NULL, failures = 0, due_at = now(),
      fence = fence + 1, lease_owner = NULL, lease_until = NULL
    WHERE id = ${uuidOf(id)} AND kind = 'gmail'`;
  return findSource(sql, id);
}

/** How an account may be asked although its source goes: the credentials of it. */
export type AccountAccess = { id: Id<'src'>; account: string; credentials: Uint8Array };

/**
 * The accounts that nobody else watches among the sources named, with one way to ask each. Ask before they go.
 */
export async function findLastWatchers(
  sql: Sql,
  of: { sourceId: Id<'src'> } | { mailboxId: Id<'mbx'> },
): Promise<AccountAccess[]> {
  const isGoing = (table: string) =>
    'sourceId' in of
      ? sql`${sql(table)}.id = ${uuidOf(of.sourceId)}`
      : sql`${sql(table)}.mailbox_id = ${uuidOf(of.mailboxId)}`;
  const rows = await sql<{ id: string; account: string; credentials: Uint8Array }[]>`
    SELECT DISTINCT ON (account) id, account, credentials FROM sources going
    WHERE ${isGoing('going')} AND kind = 'gmail' AND account IS NOT NULL AND credentials IS NOT NULL
      AND NOT EXISTS (
        SELECT FROM sources other
        WHERE other.account = going.account AND other.kind = 'gmail' AND other.is_wanted AND NOT (${isGoing('other')})
      )
    ORDER BY account, id`;
  return rows.map(({ id, ...row }) => ({ ...row, id: idOf('src', id) }));
}
