import type { FetchMessageObject, FetchQueryObject } from 'imapflow';
import { gmailIdFromDecimal } from '../../core/gmail-id.ts';
import type { MailIdentity } from '../../core/raw-mail.ts';
import type { ImapConnection } from './connection.ts';
import { fetchRows, isRefusedFetch } from './fetch-rows.ts';
import { ImapError } from './imap-error.ts';
import { refuseUidToCome } from './last-uid.ts';
import { isUid, MAX_UID, searchFirst, searchWhole } from './search-uids.ts';

/** A mail as the server lists it, without its bytes. */
export type ListedMail = {
  uid: number;
  /** Undefined where the server does not say. */
  sizeBytes: number | undefined;
  internalDate: Date | null;
  identity: MailIdentity;
  threadId: string | null;
  labels: ReadonlySet<string>;
  /** False of one of which nothing is known but that it is there. */
  isDescribed: boolean;
};

/** Mails listed at once: a page of the answer, and a command line that any server takes. Yahoo allows 1,000. */
export const LISTING_PAGE = 500;
/** A step of the UID so large is not believed without asking the server where it stands. */
const SUSPICIOUS_STEP = 100_000;
const LISTING_DEADLINE_MS = 60_000;
/** A page of rows with long labels is no tenth of it. */
export const MOST_LISTING_BYTES = 8 * 1024 * 1024;

/**
 * The mails of the selected folder behind a UID, in its order: the first page of them.
 *
 * @param expected how many there may be; undefined: any number. Few are asked for at once, without a search before.
 * @param scope what an EMAILID is unique in: the server and the account.
 * @param limit how many are listed at once, where any number is expected.
 * @throws ImapError, `protocol` also for UIDs that the server cannot have given out.
 */
export async function listMailsBehind(
  connection: ImapConnection,
  after: number,
  expected: number | undefined,
  scope: string,
  limit = LISTING_PAGE,
): Promise<{ mails: ListedMail[]; hasMore: boolean }> {
  if (after >= MAX_UID) return { mails: [], hasMore: false };
  if (expected !== undefined && expected <= pageOf(connection)) {
    // `n:*` always answers the last mail, also one before n (RFC 9051, 6.4.4.1): what is not behind is dropped.
    const unreadable = connection.unreadableRows();
    const mails = await unlessRefused(connection, fetchListing(connection, `${after + 1}:*`, after, scope));
    // As many as it looks at: there may be more before them.
    const isCut = mails !== undefined && mails.length >= connection.messageLimit();
    if (mails !== undefined && !isCut && connection.unreadableRows() === unreadable) {
      const all = await withOmitted(connection, after, mails);
      if (all !== undefined) return { mails: all.slice(0, LISTING_PAGE), hasMore: all.length > LISTING_PAGE };
    }
    // Behind a row that nobody could read the cursor would pass its mail: a search names it all the same.
  }
  const { uids, isEnd } = await searchFirst(connection, after, {});
  const mails = await listFirst(connection, uids, Math.min(limit, pageOf(connection)), after, scope);
  return { mails, hasMore: !isEnd || uids.length > mails.length };
}

/** Mails listed at once. */
export function pageOf(connection: ImapConnection): number {
  return Math.min(LISTING_PAGE, connection.messageLimit());
}

/**
 * With those between them that the server left out and a search finds; undefined if it has looked at some alone. Most UIDs that are
 * not listed have gone.
 */
async function withOmitted(
  connection: ImapConnection,
  after: number,
  mails: readonly ListedMail[],
): Promise<ListedMail[] | undefined> {
  const last = mails.at(-1)?.uid ?? after;
  if (last - after === mails.length) return [...mails];
  const found = await searchWhole(connection, { uid: `${after + 1}:${last}` }, last - after);
  if (found === undefined) return undefined;
  const between = found.filter((uid) => uid > after && uid < last);
  const uids = new Set([...mails.map(({ uid }) => uid), ...between]);
  return withUndescribed(
    [...uids].sort((a, b) => a - b),
    mails,
  );
}

/**
 * The first of these mails, `limit` at most. A server may refuse the listing because of one of them: then fewer are listed, and
 * one that cannot be listed by itself, though the next one can, is answered undescribed. If neither can, it is not about the mail.
 */
async function listFirst(
  connection: ImapConnection,
  uids: readonly number[],
  limit: number,
  after: number,
  scope: string,
): Promise<ListedMail[]> {
  const page = uids.slice(0, limit);
  if (page.length === 0) return [];
  const list = (some: readonly number[]) => fetchListing(connection, rangesOf(some), after, scope);
  const [first = 0, next] = uids;
  if (page.length > 1) {
    const listed = await unlessRefused(connection, list(page));
    // What the search found and the listing left out is not passed over: fetching it shows whether it is gone.
    if (listed !== undefined) return withUndescribed(page, listed);
    return listFirst(connection, uids, Math.ceil(page.length / 2), after, scope);
  }
  try {
    return withUndescribed(page, await list(page));
  } catch (error) {
    if (next === undefined || !isRefusedFetch(error, connection)) throw error;
    await list([next]);
    return [undescribed(first)];
  }
}

/** All of these, in this order. */
export function withUndescribed(uids: readonly number[], mails: readonly ListedMail[]): ListedMail[] {
  const byUid = new Map(mails.map((mail) => [mail.uid, mail]));
  return uids.map((uid) => byUid.get(uid) ?? undescribed(uid));
}

/** What was being listed or fetched may be why: the connection ended, or the server refused a FETCH. */
export function mayBeOfMails(error: unknown, connection: ImapConnection): error is ImapError {
  return error instanceof ImapError && (!connection.isOpen() || error.refused === 'FETCH');
}

async function unlessRefused(
  connection: ImapConnection,
  listing: Promise<ListedMail[]>,
): Promise<ListedMail[] | undefined> {
  try {
    return await listing;
  } catch (error) {
    if (isRefusedFetch(error, connection)) return undefined;
    throw error;
  }
}

/** Mails by their UIDs. Those that are gone are left out; of a refused listing nobody knows which those are. */
export async function listMails(
  connection: ImapConnection,
  uids: readonly number[],
  scope: string,
): Promise<ListedMail[]> {
  if (uids.length === 0) return [];
  const unreadable = connection.unreadableRows();
  const mails = await unlessRefused(connection, fetchListing(connection, rangesOf(uids), 0, scope));
  if (mails !== undefined && connection.unreadableRows() === unreadable) return mails;
  return withUndescribed(uids, mails ?? []);
}

async function fetchListing(
  connection: ImapConnection,
  range: string,
  after: number,
  scope: string,
): Promise<ListedMail[]> {
  const rows = await fetchRows(connection, range, listingQuery(connection), {
    isWanted: ({ uid }) => !isUid(uid) || uid > after,
    mostBytes: MOST_LISTING_BYTES,
    deadlineMs: LISTING_DEADLINE_MS,
  });
  // Left out, it would be passed by the cursor as soon as a later one is read.
  if (rows.some((row) => !isUid(row.uid) && (row.size !== undefined || row.internalDate !== undefined))) {
    throw new ImapError('protocol', 'the server lists mails without UIDs');
  }
  // Once each, the fullest row: flags alone may be told beside the answer.
  const byUid = new Map<number, FetchMessageObject>();
  for (const row of rows)
    if (isUid(row.uid)) byUid.set(row.uid, { ...byUid.get(row.uid), ...withoutGaps(row) });
  const mails = [...byUid.values()]
    .sort((a, b) => a.uid - b.uid)
    .map((row) => describeMail(connection, row, scope));
  await refuseImpossibleUids(connection, after, mails);
  return mails;
}

/** What says what a mail is; of its id imapflow asks for the best that the server has, whatever else is asked for. */
export function listingQuery(connection: ImapConnection): FetchQueryObject {
  const isGmail = connection.has('X-GM-EXT-1');
  return { uid: true, size: true, internalDate: true, ...(isGmail && { labels: true, threadId: true }) };
}

/** A UID that the server has not come to yet would have the cursor pass all that arrives from now on. */
async function refuseImpossibleUids(
  connection: ImapConnection,
  after: number,
  mails: readonly ListedMail[],
): Promise<void> {
  const highest = mails.at(-1)?.uid ?? 0;
  if (highest - after >= SUSPICIOUS_STEP) await refuseUidToCome(connection, highest);
}

function withoutGaps(row: FetchMessageObject): FetchMessageObject {
  // The cast holds: what is left out is optional, as uid and seq are always there.
  return Object.fromEntries(
    Object.entries(row).filter(([, value]) => value !== undefined),
  ) as FetchMessageObject & object;
}

/** A mail of which nothing is known but that it is there. */
function undescribed(uid: number): ListedMail {
  return {
    uid,
    sizeBytes: undefined,
    internalDate: null,
    identity: { base: 'content' },
    threadId: null,
    labels: new Set(),
    isDescribed: false,
  };
}

/** @param scope what an EMAILID is unique in. */
export function describeMail(connection: ImapConnection, row: FetchMessageObject, scope: string): ListedMail {
  const isGmail = connection.has('X-GM-EXT-1');
  return {
    uid: row.uid,
    sizeBytes: row.size,
    internalDate: dateOf(row.internalDate),
    identity: identityOf(row.emailId, isGmail, scope),
    threadId: isGmail && row.threadId !== undefined ? gmailIdFromDecimal(row.threadId) : null,
    labels: row.labels ?? new Set(),
    isDescribed: true,
  };
}

function identityOf(emailId: string | undefined, isGmail: boolean, scope: string): MailIdentity {
  if (emailId === undefined) return { base: 'content' };
  if (isGmail) return { base: 'gmail', id: gmailIdFromDecimal(emailId) };
  return { base: 'emailid', scope, id: emailId };
}

function dateOf(date: Date | string | undefined): Date | null {
  const parsed = date === undefined ? undefined : new Date(date);
  return parsed === undefined || Number.isNaN(parsed.getTime()) ? null : parsed;
}

/** UIDs in order as a sequence set (RFC 9051, 9): `1:3,7`. */
export function rangesOf(uids: readonly number[]): string {
  const ranges: string[] = [];
  for (let at = 0; at < uids.length; ) {
    const start = at;
    while (uids[at + 1] === (uids[at] ?? 0) + 1) at++;
    ranges.push(at === start ? `${uids[start]}` : `${uids[start]}:${uids[at]}`);
    at++;
  }
  return ranges.join(',');
}
