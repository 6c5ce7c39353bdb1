import type { Sql } from 'postgres';
import { createId, type Id, idOf, uuidOf } from '../core/ids.ts';
import type { ImapCredentials } from '../core/imap-settings.ts';
import type { Source } from '../core/resources.ts';
import type { Keyring } from '../core/sealed.ts';
import { sealCredentials } from './secrets.ts';
import { findSource, WAITING_FOR_WORKER } from './sources.ts';
import { isForeignKeyViolation } from './unavailable.ts';

type Connected = {
  mailboxId: Id<'mbx'>;
  provider: 'microsoft';
  credentials: ImapCredentials;
  /** Whose mailbox the provider says it is. */
  account: string;
};

/**
 * Gives the mailbox's imap source of this provider its credentials and starts it, or makes one. Safe to repeat; two at
 * the same moment for a mailbox that has none may make one each.
 *
 * @returns undefined if there is no such mailbox.
 */
export async function saveConnectedSource(
  sql: Sql,
  keyring: Keyring,
  connected: Connected,
): Promise<Source | undefined> {
  const { mailboxId, provider } = connected;
  const [row] = await sql<{ id: string }[]>`
    SELECT id FROM sources
    WHERE mailbox_id = ${uuidOf(mailboxId)} AND kind = 'imap' AND settings ->> 'provider' = ${provider}
    ORDER BY id LIMIT 1`;
  // The credentials are bound to the row's id, so that it is known before they are written.
  const known = row && (await renewCredentials(sql, keyring, idOf('src', row.id), connected));
  return known ?? (await insertSource(sql, keyring, connected));
}

/** @returns undefined if it was deleted meanwhile. */
async function renewCredentials(
  sql: Sql,
  keyring: Keyring,
  id: Id<'src'>,
  { credentials, account }: Connected,
): Promise<Source | undefined> {
  await sql`
    UPDATE sources SET
      credentials = ${sealCredentials(keyring, id, credentials)}, account = ${account.toLowerCase()},
      is_wanted = true, wanted_at = now(), state = 'disconnected', reason = ${WAITING_FOR_WORKER}, mode = NULL, fault = NULL,
      due_at = now(), slow_until = NULL, failures = 0,
      -- Whoever reads with the old ones has lost its lease.
      fence = fence + 1, lease_owner = NULL, lease_until = NULL
    WHERE id = ${uuidOf(id)}`;
  return findSource(sql, id);
}

async function insertSource(
  sql: Sql,
  keyring: Keyring,
  { mailboxId, provider, credentials, account }: Connected,
): Promise<Source | undefined> {
  const id = createId('src');
  try {
    await sql`
      INSERT INTO sources (id, mailbox_id, kind, state, reason, credentials, account, settings)
      VALUES (${uuidOf(id)}, ${uuidOf(mailboxId)}, 'imap', 'disconnected', ${WAITING_FOR_WORKER},
              ${sealCredentials(keyring, id, credentials)}, ${account.toLowerCase()},
              ${JSON.stringify({ provider })}::text::jsonb)`;
  } catch (error) {
    if (isForeignKeyViolation(error)) return undefined;
    throw error;
  }
  return findSource(sql, id);
}
