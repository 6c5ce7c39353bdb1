import type { ImapFlow, MailboxObject } from 'imapflow';
import type { ImapConnection } from './connection.ts';
import { ImapError } from './imap-error.ts';
import {
  LISTING_PAGE,
  listMails,
  listMailsBehind,
  mayBeOfMails,
  refuseUidToCome,
  searchUids,
} from './listing.ts';
import { mailPlaceOf, placeOf } from './place.ts';
import { type MailResult, type ReadTools, readMails } from './read-mails.ts';
import { type FolderCursor, held, type PassedMail, type SessionStore } from './session-store.ts';

/*
 * One folder, from its cursor to its end. Everything that reads goes through here: what IDLE tells, polls, and sweeps.
 *
 * The cursor moves a page at a time, when every mail of the page is stored or has a stub; so it never passes what nothing
 * stands for. It counts under the UIDVALIDITY that it was made under alone. Under another one, or when the folder has come
 * to fewer UIDs than were read, the folder is begun anew at its end, and a gap stands for what may have been missed.
 */

export type FolderTools = Omit<ReadTools, 'folder' | 'isCautious'> & {
  store: SessionStore;
  /** From when on mail of a folder that has no cursor is wanted. */
  newFolderSince: Date;
  /** When the last mail was received that others had stored before this session woke up. */
  wakesFrom: Date;
  now: () => Date;
  /** The server gives what there is. */
  noteAlive(hasMail: boolean): void;
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
  /** A UID that the server has given out, and how many probes have told so since the cursor stood before it. */
  told?: { uid: number; probes: number } | undefined;
};

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
/**
 * After a change of UIDVALIDITY mail is listed from so long before the folder was last read: longer than a mail that cannot be
 * had is tried again.
 */
const RESCAN_OVERLAP_MS = 3 * DAY_MS;
/** Between the clocks of two paths of one mailbox. */
const STANDBY_MARGIN_MS = HOUR_MS;
/**
 * Connections that ended, and refusals, while the same mails were listed or fetched: from then on each by itself, and then past
 * the first. What says that it is asked too much may mean one mail by that; each time it is waited for as if it meant us.
 */
const CAUTIOUS_AFTER_STRIKES = 2;
const PASS_AFTER_STRIKES = 4;
/**
 * What a server has given UIDs and does not list, so many probes long, has gone before it was read: the cursor passes it. Until
 * then it may not be shown yet.
 */
const GONE_AFTER_PROBES = 5;
const MAX_GONE = 100_000;
const FIRST_RETRY_MS = MINUTE_MS;
/** Its place in memory is written down again after so long, although nothing has changed. */
const NOTE_EACH_MS = HOUR_MS;

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
  const lastUid = await lastUidOf(connection, mailbox);
  const { cursor, told } = folder;
  if (told !== undefined && lastUid < told.uid) folder.told = undefined;
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
  } else if (lastUid < cursor.uid || isBefore(mailbox.highestModseq, cursor.modSeq)) {
    // What is behind the cursor is read as ever: of it the dates may be old.
    await jump(folder, cursor, 'state_lost', { uidValidity, uid: Math.min(lastUid, cursor.uid) }, tools);
  } else if (isWakingUp) {
    const uid = await findWakingUid(connection, lastUid, tools);
    await jump(folder, cursor, 'standby', { uidValidity, uid }, tools);
  }
  return Math.max(0, lastUid - (folder.cursor?.uid ?? 0));
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

/** UIDNEXT - 1; of a server that does not say it, the UID of the last mail. */
async function lastUidOf(
  connection: ImapConnection,
  mailbox: { uidNext: number; exists: number },
): Promise<number> {
  if (mailbox.uidNext > 0) return mailbox.uidNext - 1;
  if (!(mailbox.exists > 0)) return 0;
  const last = await connection.run((client) => client.fetchOne('*', { uid: true }));
  return last === false ? 0 : last.uid;
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
  folder.told = undefined;
}

/**
 * Where a standby goes on that has slept: before the first mail that is not older than the last one stored, less an hour. What
 * of it is stored is not fetched again.
 */
async function findWakingUid(
  connection: ImapConnection,
  lastUid: number,
  { scope, wakesFrom }: FolderTools,
): Promise<number> {
  const since = new Date(wakesFrom.getTime() - STANDBY_MARGIN_MS);
  const uids = await searchUids(connection, { since: dayBefore(since) });
  for (let at = 0; at < uids.length; at += LISTING_PAGE) {
    const mails = await listMails(connection, uids.slice(at, at + LISTING_PAGE), scope);
    const first = mails.find(({ internalDate }) => internalDate === null || internalDate >= since);
    if (first !== undefined) return first.uid - 1;
  }
  return lastUid;
}

/** SEARCH SINCE goes by the day alone, in the time zone of each mail (RFC 9051, 6.4.4). */
export function dayBefore(date: Date): Date {
  return new Date(date.getTime() - DAY_MS);
}

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
  await passGone(cursor);
  await noteEnd(folder, cursor, tools);
  return { hasStubs, isAtEnd };

  /** By a search, which does not look at it: it may end connections as soon as it is listed. */
  async function passFirst(after: number): Promise<boolean> {
    const [uid] = await searchUids(connection, { uid: `${after + 1}:*` }, after);
    if (uid === undefined) return false;
    // By a UID that was made up the cursor would pass what is still to get one.
    await refuseUidToCome(connection, uid);
    const error = 'the server hangs up or refuses whenever it is to be read';
    await keep([{ uid, key: null, outcome: 'retry', error }]);
    return true;
  }

  /** The folder was told to have come so far before it was read to its end. */
  async function passGone(at: FolderCursor): Promise<void> {
    const { told } = folder;
    if (told === undefined) return;
    const gone = told.uid - at.uid;
    if (gone > 0 && gone < MAX_GONE && told.probes >= GONE_AFTER_PROBES) await move(at, told.uid, []);
  }

  async function move(at: FolderCursor, to: number, passed: readonly PassedMail[]): Promise<void> {
    const { uidValidity, uid: from } = at;
    const modSeq = folder.modSeq ?? null;
    held(await store.keepPage({ path: folder.path, uidValidity, from, to, passed, modSeq }));
    at.uid = to;
    at.modSeq = modSeq ?? at.modSeq;
  }

  async function keep(results: readonly MailResult[]): Promise<void> {
    const to = results.at(-1)?.uid;
    if (cursor === undefined || to === undefined) return;
    const { path } = folder;
    const { uidValidity } = cursor;
    const passed = results.flatMap((result) => passedOf(result, path, uidValidity));
    await move(cursor, to, passed);
    cursor.strikes = 0;
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

async function noteEnd(folder: Folder, cursor: FolderCursor, tools: FolderTools): Promise<void> {
  await noteRead(folder, cursor, folder.modSeq ?? cursor.modSeq, tools);
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
