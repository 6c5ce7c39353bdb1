import type { FolderCursor, PassedMail } from '../../core/imap-folder.ts';
import type { ImapConnection } from './connection.ts';
import { ImapError } from './imap-error.ts';
import { refuseUidToCome } from './last-uid.ts';
import { LISTING_PAGE, listMailsBehind, mayBeOfMails } from './listing.ts';
import { mailPlaceOf } from './place.ts';
import { type MailResult, type ReadTools, readMails } from './read-mails.ts';
import { searchFirst } from './search-uids.ts';
import { held, type SessionStore } from './session-store.ts';

/*
 * One folder, from its cursor to its end. Everything that reads goes through here: what IDLE tells, polls, and sweeps.
 *
 * The cursor moves a page at a time, when every mail of the page is stored or has a stub; so it never passes what nothing
 * stands for. A UID that the server has given out and does not show holds it back from nothing: mail behind it is read, and
 * it passes that UID with the first of them.
 */

export type FolderTools = Omit<ReadTools, 'folder' | 'isCautious'> & {
  store: SessionStore;
  /** From when on mail of a folder that has no cursor is wanted. */
  newFolderSince: Date;
  /** When the last mail was received that others had stored before this session woke up. */
  wakesFrom: Date;
  now: () => Date;
};

/** A folder that is watched. Changed as it is read. */
export type Folder = {
  path: string;
  role: string | null;
  cursor: FolderCursor | undefined;
  /** When its place was last written down. */
  notedAt: Date | undefined;
  /** HIGHESTMODSEQ when it was last opened. */
  modSeq?: string | null;
};

/**
 * Connections that ended, and refusals, while the same mails were listed or fetched: from then on each by itself, and then past
 * the first. What says that it is asked too much may mean one mail by that; each time it is waited for as if it meant us.
 */
const CAUTIOUS_AFTER_STRIKES = 2;
const PASS_AFTER_STRIKES = 4;
const FIRST_RETRY_MS = 60_000;
/** Its place in memory is written down again after so long, although nothing has changed. */
const NOTE_EACH_MS = 60 * 60_000;

/**
 * Reads the selected folder from its cursor to its end.
 *
 * @param expected as for `listMailsBehind`.
 * @param shouldPause asked after each page; what is left then is for the next call.
 * @returns whether there are new stubs to come back for, and whether the end was reached.
 * @throws ImapError, LeaseLost, and what the store or the door throw. The cursor stands behind what is kept.
 */
export async function readFolder(
  connection: ImapConnection,
  folder: Folder,
  expected: number | undefined,
  tools: FolderTools,
  shouldPause: () => boolean,
): Promise<{ hasStubs: boolean; isAtEnd: boolean }> {
  const { store } = tools;
  const { cursor } = folder;
  if (cursor === undefined) throw new ImapError('internal', 'a folder is read before it was opened');
  let hasStubs = false;
  let isAtEnd = expected === 0;
  /** So many of the next are listed and fetched one by one: the server refuses something among them, or hangs up. */
  let singly = cursor.strikes >= CAUTIOUS_AFTER_STRIKES ? LISTING_PAGE : 0;
  while (!isAtEnd) {
    // One that ended while nothing was read says nothing of the mails.
    const wasOpen = connection.isOpen();
    try {
      if (cursor.strikes >= PASS_AFTER_STRIKES && (await passFirst(cursor.uid))) continue;
      const isCautious = singly > 0;
      if (isCautious) singly--;
      const { mails, hasMore } = isCautious
        ? await listMailsBehind(connection, cursor.uid, undefined, tools.scope, 1)
        : await listMailsBehind(connection, cursor.uid, expected, tools.scope);
      for await (const results of readMails(connection, mails, { ...tools, folder, isCautious })) {
        await keep(results);
        if (shouldPause()) return { hasStubs, isAtEnd: false };
      }
      isAtEnd = !hasMore;
    } catch (error) {
      if (wasOpen && mayBeOfMails(error, connection) && !tools.signal.aborted) {
        cursor.strikes++;
        await store.noteStrike(folder.path);
      }
      throw error;
    }
    // There may be more than were expected: the next page finds out.
    expected = undefined;
  }
  await noteRead(folder, cursor, folder.modSeq ?? cursor.modSeq, tools);
  return { hasStubs, isAtEnd };

  /** By a search, which does not look at it: it may end connections as soon as it is listed. */
  async function passFirst(after: number): Promise<boolean> {
    const { uids } = await searchFirst(connection, after, {});
    const [uid] = uids;
    if (uid === undefined) return false;
    // By a UID that was made up the cursor would pass what is still to get one.
    await refuseUidToCome(connection, uid);
    const error = 'the server hangs up or refuses whenever it is to be read';
    await keep([{ uid, key: null, outcome: 'retry', error }]);
    return true;
  }

  async function keep(results: readonly MailResult[]): Promise<void> {
    const to = results.at(-1)?.uid;
    if (cursor === undefined || to === undefined) return;
    const { path, modSeq = null } = folder;
    const { uidValidity, uid: from } = cursor;
    const passed = results.flatMap((result) => passedOf(result, path, uidValidity));
    held(await store.keepPage({ path, uidValidity, from, to, passed, modSeq }));
    Object.assign(cursor, { uid: to, modSeq: modSeq ?? cursor.modSeq, strikes: 0 });
    // A backlog takes longer than an outage that is told of.
    tools.noteAlive(results.some(({ outcome }) => outcome === 'stored'));
    hasStubs ||= results.some(({ outcome }) => outcome === 'retry');
  }
}

function passedOf(result: MailResult, path: string, uidValidity: number): PassedMail[] {
  if (!('error' in result)) return [];
  const { uid, outcome, error, key } = result;
  const status = outcome === 'retry' ? 'pending' : outcome;
  return [{ providerId: mailPlaceOf(path, uidValidity, uid), status, error, key, dueInMs: FIRST_RETRY_MS }];
}

/**
 * The folder is known to be read to its end now. That is written down from time to time alone: after a change of UIDVALIDITY
 * mail is listed from then on, and a little more of it does no harm.
 */
export async function noteRead(
  folder: Folder,
  cursor: FolderCursor,
  modSeq: string | null,
  { store, now }: FolderTools,
): Promise<void> {
  cursor.readAt = now();
  const isNoted =
    folder.notedAt !== undefined && cursor.readAt.getTime() - folder.notedAt.getTime() < NOTE_EACH_MS;
  if (isNoted && cursor.refusals === 0 && cursor.strikes === 0) return;
  await store.noteRead({ path: folder.path, modSeq });
  folder.notedAt = cursor.readAt;
  Object.assign(cursor, { modSeq, refusals: 0, strikes: 0 });
}
