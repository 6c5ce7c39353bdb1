import type { ImapConnection } from './connection.ts';
import { isRefusedFetch } from './fetch-rows.ts';
import { ImapError } from './imap-error.ts';
import { searchUids } from './search-uids.ts';

/*
 * How far the server has come in the selected folder. imapflow's own UIDNEXT is no witness: it moves with whatever row it is told.
 */

/** What the server says when asked now; undefined of one that does not say it. */
export async function askUidNext(connection: ImapConnection): Promise<number | undefined> {
  const { mailbox } = connection.client;
  if (mailbox === false) return undefined;
  const status = await connection.run((client) => client.status(mailbox.path, { uidNext: true }));
  return status === false ? undefined : status.uidNext;
}

/** The UID of the last mail that there is, 0 if there is none. Higher ones may have been given out, and their mails deleted. */
export async function readLastUid(connection: ImapConnection): Promise<number> {
  if (connection.exists() === 0) return 0;
  try {
    const last = await connection.run((client) => client.fetchOne('*', { uid: true }));
    if (last !== false && last.uid > 0) return last.uid;
  } catch (error) {
    if (!isRefusedFetch(error, connection)) throw error;
  }
  // It may be the very mail that cannot be had: a search does not look at it.
  const [uid = 0] = await searchUids(connection, { seq: '*' }, 1);
  return uid;
}

/** @throws ImapError `protocol` for a UID of the selected folder that the server has not given out, as it says when asked. */
export async function refuseUidToCome(connection: ImapConnection, uid: number): Promise<void> {
  if (connection.client.mailbox === false) return;
  const uidNext = await askUidNext(connection);
  const last = uidNext === undefined ? await readLastUid(connection) : uidNext - 1;
  if (uid > last) {
    throw new ImapError('protocol', `the server lists a mail with UID ${uid}, which it has not come to`);
  }
}
