import type { Sql } from 'postgres';
import { type Id, idOf, uuidOf } from '../core/ids.ts';
import type { SourceKind } from '../core/message.ts';
import type { SourceFault } from '../core/source-retry.ts';

/** A source with all that tells how it stands, also what the API does not show: its sealed credentials. */
export type SourceFacts = {
  id: Id<'src'>;
  mailboxId: Id<'mbx'>;
  address: string;
  kind: SourceKind;
  isWanted: boolean;
  wantedAt: Date;
  state: string;
  reason: string | null;
  account: string | null;
  credentials: Uint8Array | null;
  settings: Record<string, unknown>;
  heartbeat: Record<string, unknown> | null;
  fault: SourceFault | null;
  failures: number;
  dueAt: Date;
  hintedAt: Date | null;
  /** Whether a process works on it now. */
  isHeld: boolean;
  lastProvenAliveAt: Date | null;
  lastMessageAt: Date | null;
  createdAt: Date;
  /** Of kind gmail: the watch of its account. */
  watchExpiresAt: Date | null;
  watchError: string | null;
  /** Folders that could not be opened, with why. */
  parkedFolders: { path: string; error: string | null }[];
  /** The database's clock, which the other times are of. */
  now: Date;
};

/** As many as can be looked at in a run; nobody reads more lines. */
export const MAX_SOURCES = 1000;

/** Those that can be looked at, by address; or the one that is named, whatever its kind. */
export async function readSourceFacts(sql: Sql, only?: Id<'src'>): Promise<SourceFacts[]> {
  const rows = await sql<(Omit<SourceFacts, 'id' | 'mailboxId'> & { id: string; mailboxId: string })[]>`
    SELECT sources.id, mailbox_id AS "mailboxId", address, kind, is_wanted AS "isWanted", wanted_at AS "wantedAt",
           state, reason, sources.account, credentials, settings, heartbeat, fault, sources.failures, sources.due_at AS "dueAt",
           hinted_at AS "hintedAt", coalesce(lease_until > now(), false) AS "isHeld",
           last_proven_alive_at AS "lastProvenAliveAt", last_message_at AS "lastMessageAt",
           sources.created_at AS "createdAt", watch.expires_at AS "watchExpiresAt", watch.error AS "watchError",
           (SELECT coalesce(json_agg(json_build_object('path', path, 'error', error) ORDER BY path), '[]')
            FROM imap_folders WHERE source_id = sources.id AND parked_until > now()) AS "parkedFolders",
           now() AS now
    FROM sources JOIN mailboxes ON mailboxes.id = mailbox_id
      LEFT JOIN gmail_watches watch ON kind = 'gmail' AND watch.account = sources.account
    WHERE ${only === undefined ? sql`kind <> 'raw'` : sql`sources.id = ${uuidOf(only)}`}
    ORDER BY address, sources.id LIMIT ${MAX_SOURCES}`;
  return rows.map((row) => ({ ...row, id: idOf('src', row.id), mailboxId: idOf('mbx', row.mailboxId) }));
}
