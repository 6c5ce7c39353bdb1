import type { ImapProvider } from '../../core/imap-providers.ts';
import type { ImapFolderWish } from '../../core/imap-settings.ts';
import { chooseFolders, describeMissing, isNameable } from './choose-folders.ts';
import type { ImapConnection } from './connection.ts';
import { readStatuses } from './folder-status.ts';
import { ImapError } from './imap-error.ts';
import { listFolders } from './list-folders.ts';

/** What a server has and does, as far as reading mail goes. */
export type ImapReport = {
  folders: { path: string; role: string | null; uidValidity: number; uid: number }[];
  /** Told of new mail; else it is asked each minute. */
  idle: boolean;
  capabilities: string[];
  /** All that can be chosen from. */
  available: string[];
};

/** Those that change how a mailbox is read. */
const TELLING = ['IDLE', 'CONDSTORE', 'QRESYNC', 'LIST-STATUS', 'SPECIAL-USE', 'OBJECTID', 'X-GM-EXT-1'];

/**
 * Looks at the account of a connection: the folders that would be read, each with where it is now.
 *
 * @throws ImapError, `folder` when one that was named is not there, or none can be read.
 */
export async function inspectAccount(
  connection: ImapConnection,
  wanted: readonly ImapFolderWish[] | undefined,
  provider: ImapProvider,
): Promise<ImapReport> {
  const listed = await listFolders(connection);
  const available = listed
    .filter((folder) => !folder.flags.has('\\Noselect') && isNameable(folder))
    .map(({ path }) => path);
  const { folders, missing } = chooseFolders(listed, wanted, provider);
  if (folders.length === 0 || (wanted !== undefined && missing.length > 0)) {
    const names = describeMissing(missing, listed);
    const there = available.slice(0, 30).join(', ');
    throw new ImapError('folder', `the account has no folder ${names}; it has ${there || 'none'}`);
  }
  const statuses = await readStatuses(
    connection,
    folders.map(({ path }) => path),
  );
  return {
    folders: folders.flatMap(({ path, role }) => {
      const status = statuses.get(path);
      // One that the server tells nothing of is begun by its first session.
      return status === undefined
        ? []
        : [{ path, role, uidValidity: status.uidValidity, uid: status.uidNext - 1 }];
    }),
    idle: connection.hasIdle(),
    capabilities: TELLING.filter((name) => connection.has(name)),
    available,
  };
}
