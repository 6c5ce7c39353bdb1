import type { ImapFlow, MailboxObject } from 'imapflow';
import type { FolderCursor } from '../../core/imap-folder.ts';
import type { ImapConnection } from './connection.ts';
import { ImapError } from './imap-error.ts';
import { askUidNext, readLastUid } from './last-uid.ts';
import { listMails, pageOf } from './listing.ts';
import { placeOf } from './place.ts';
import type { Folder, FolderTools } from './read-folder.ts';
import { searchFirst } from './search-uids.ts';
import { held } from './session-store.ts';

/*
 * A cursor counts under the UIDVALIDITY that it was made under alone. Under another one, or when the folder has come to fewer
 * UIDs than were read, the folder is begun anew at its end, and a gap stands for what may have been missed.
 */

const HOUR_MS = 60 * 60_000;
const DAY_MS = 24 * HOUR_MS;
/**
 * After a change of UIDVALIDITY mail is listed from so long before the folder was last read: longer than a mail that cannot be
 * had is tried again.
 */
const RESCAN_OVERLAP_MS = 3 * DAY_MS;
/** Between the clocks of two paths of one mailbox. */
const STANDBY_MARGIN_MS = HOUR_MS;
/** From time to time it is said that the server answers; one with a limit may need thousands. */
const MOST_SEARCHES = 16;

/**
 * Opens a folder, read-only, and brings its cursor in line with it.
 *
 * @param isWakingUp others have read the mailbox until now: what they have stored is not listed.
 * @returns how many mails may be behind the cursor; undefined: unknown.
 * @throws ImapError, `folder` for one that cannot be opened; LeaseLost.
 */
export async function openFolder(
  connection: ImapConnection,
  folder: Folder,
  tools: FolderTools,
  isWakingUp: boolean,
): Promise<number | undefined> {
  const { store } = tools;
  const mailbox = await connection.run(async (client) => {
    spareListing(client, folder.path);
    // Its type does not say so, but of a connection that has fallen out of its state it answers nothing.
    const opened: MailboxObject | undefined = await client.mailboxOpen(folder.path, { readOnly: true });
    if (opened !== undefined) return opened;
    connection.close();
    throw new ImapError('protocol', 'the connection is no longer logged in');
  });
  // As it is before anything is read: imapflow moves its own with each row.
  folder.modSeq = mailbox.highestModseq?.toString() ?? null;
  const uidValidity = Number(mailbox.uidValidity ?? 0);
  // UIDNEXT - 1; of a server that does not say it, the UID of the last mail.
  const isTold = mailbox.uidNext > 0;
  const lastUid = isTold ? mailbox.uidNext - 1 : await readLastUid(connection);
  const { cursor } = folder;
  if (cursor === undefined) {
    const { path, role } = folder;
    const since = lastUid === 0 ? null : tools.newFolderSince;
    held(await store.addFolder({ path, role, uidValidity, uid: lastUid, since }));
    // It may have been begun before, by a statement that seemed to fail.
    folder.cursor = (await store.listCursors()).find((one) => one.path === path);
    held(folder.cursor?.uidValidity === uidValidity && folder.cursor.uid <= lastUid);
    return lastUid - (folder.cursor?.uid ?? 0);
  }
  if (cursor.uidValidity !== uidValidity) {
    await jump(folder, cursor, 'uidvalidity_changed', { uidValidity, uid: lastUid }, tools);
  } else if (isBefore(mailbox.highestModseq, cursor.modSeq) || (await hasComeToFewer(cursor.uid))) {
    // What is behind the cursor is read as ever: of it the dates may be old.
    await jump(folder, cursor, 'state_lost', { uidValidity, uid: Math.min(lastUid, cursor.uid) }, tools);
  } else if (isWakingUp) {
    const uid = await findWakingUid(connection, lastUid, tools);
    await jump(folder, cursor, 'standby', { uidValidity, uid }, tools);
  }
  return Math.max(0, lastUid - (folder.cursor?.uid ?? 0));

  /**
   * Of a server that says UIDNEXT nowhere the last mail counts. The newest may just have been deleted; but a folder that was made
   * anew looks the same, and of that one mail would be lost.
   */
  async function hasComeToFewer(uid: number): Promise<boolean> {
    if (lastUid >= uid) return false;
    const uidNext = isTold ? mailbox.uidNext : await askUidNext(connection);
    return uidNext === undefined || uidNext <= uid;
  }
}

/** imapflow asks LIST for a folder it has not seen before it opens it; one that is refused would keep us from all folders. */
function spareListing(client: ImapFlow, path: string): void {
  // The cast holds for the version that package.json pins.
  const { folders } = client as unknown as { folders: Map<string, object> };
  if (!folders.has(path)) folders.set(path, {});
}

/** A mod-sequence only grows (RFC 7162, 3.1.2.1): from a backup that was restored, its UIDs may be given out again. */
function isBefore(modSeq: bigint | undefined, noted: string | null): boolean {
  return modSeq !== undefined && noted !== null && modSeq < BigInt(noted);
}

async function jump(
  folder: Folder,
  from: FolderCursor,
  reason: 'uidvalidity_changed' | 'state_lost' | 'standby',
  to: { uidValidity: number; uid: number },
  tools: FolderTools,
): Promise<void> {
  const { store } = tools;
  // An older mod-sequence is a jump also where the UID is the same: it may be another mail's by now.
  if (reason === 'standby' && from.uid === to.uid) return;
  const since = reason === 'standby' ? null : new Date(from.readAt.getTime() - RESCAN_OVERLAP_MS);
  held(
    await store.jumpFolder({
      path: folder.path,
      reason,
      from,
      to,
      since,
      fromPlace: placeOf(folder.path, from.uidValidity),
      toPlace: placeOf(folder.path, to.uidValidity),
    }),
  );
  folder.cursor = { ...from, ...to, modSeq: null, strikes: 0 };
}

/**
 * Where a standby goes on that has slept: before the first mail that is not older than the last one stored, less an hour. What
 * of it is stored is not fetched again.
 */
async function findWakingUid(
  connection: ImapConnection,
  lastUid: number,
  { scope, wakesFrom, signal, noteAlive }: FolderTools,
): Promise<number> {
  const since = new Date(wakesFrom.getTime() - STANDBY_MARGIN_MS);
  const size = pageOf(connection);
  for (let after = 0; after < lastUid; ) {
    signal.throwIfAborted();
    const { uids, to } = await searchFirst(connection, after, {
      end: lastUid,
      since: dayBefore(since),
      mostSearches: MOST_SEARCHES,
    });
    noteAlive(false);
    for (let at = 0; at < uids.length; at += size) {
      const mails = await listMails(connection, uids.slice(at, at + size), scope);
      const first = mails.find(({ internalDate }) => internalDate === null || internalDate >= since);
      if (first !== undefined) return first.uid - 1;
    }
    after = to;
  }
  return lastUid;
}

/** SEARCH SINCE goes by the day alone, in the time zone of each mail (RFC 9051, 6.4.4). */
export function dayBefore(date: Date): Date {
  return new Date(date.getTime() - DAY_MS);
}
