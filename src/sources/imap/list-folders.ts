import type { ListedFolder } from './choose-folders.ts';
import type { ImapConnection } from './connection.ts';

type Namespaces = NonNullable<ImapConnection['client']['namespaces']>;

/** Of some accounts there are ten thousands. */
const LIST_LIMITS = { deadlineMs: 30_000, mostBytes: 8 * 1024 * 1024 };

/**
 * All folders of the account, in the order of LIST, and those of others that it may read: the namespaces of the server tell which
 * (RFC 2342).
 *
 * @throws ImapError
 */
export async function listFolders(connection: ImapConnection): Promise<ListedFolder[]> {
  const listed = await connection.run((client) => client.list({ listOnly: true }), LIST_LIMITS);
  const { namespaces } = connection.client;
  return listed.map((folder) => ({
    ...folder,
    isOfOthers: namespaces !== undefined && isOfOthers(folder.path, namespaces),
  }));
}

/** By the longest prefix that fits. One may be empty: then the others name what is not in it. */
export function isOfOthers(path: string, { personal, other, shared }: Namespaces): boolean {
  if (path.toUpperCase() === 'INBOX') return false;
  const lengthOf = (namespaces: Namespaces['other']) =>
    Math.max(
      -1,
      ...(namespaces || [])
        .filter(({ prefix }) => path.startsWith(prefix))
        .map(({ prefix }) => prefix.length),
    );
  return Math.max(lengthOf(other), lengthOf(shared)) > lengthOf(personal);
}
