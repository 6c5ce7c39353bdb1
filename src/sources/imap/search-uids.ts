import type { ImapConnection } from './connection.ts';
import { ImapError } from './imap-error.ts';
import { SHORT_ANSWER_BYTES } from './watch-answers.ts';

/*
 * Searches of the selected folder, in windows of UIDs: over all of a large folder the server would tell the same millions for each
 * page, and one that has a limit would look at the highest alone (MESSAGELIMIT, RFC 9738).
 */

/** UIDs are unsigned 32-bit numbers, not 0 (RFC 9051, 2.3.1.1). */
export const MAX_UID = 2 ** 32 - 1;
const SEARCH_DEADLINE_MS = 60_000;
/** UIDs that one search looks at. */
const SEARCH_REACH = 20_000;
/** Where there is nothing, each looks at so many times as many. */
const REACH_STEP = 4;
/** What is read of one answer: some 16 MB, as long as a line may be. */
const MOST_NUMBERS = 1_400_000;
/** Ten digits and a space. */
const BYTES_PER_NUMBER = 11;

type Query = { uid?: string; seq?: string; since?: Date; gmraw?: string };

/**
 * UIDs that match, in their order.
 *
 * @param width how many UIDs the query names.
 * @throws ImapError also when the server refuses the search, or looks at some of the mails alone.
 */
export async function searchUids(connection: ImapConnection, query: Query, width: number): Promise<number[]> {
  const uids = await searchWhole(connection, query, width);
  if (uids === undefined) throw partial();
  return uids;
}

/** As `searchUids`; undefined when the server has looked at some of the mails alone, or may have. */
export async function searchWhole(
  connection: ImapConnection,
  query: Query,
  width: number,
): Promise<number[] | undefined> {
  const before = connection.partialAnswers();
  const found = await connection.run((client) => client.search(query, { uid: true }), {
    deadlineMs: SEARCH_DEADLINE_MS,
    mostBytes: SHORT_ANSWER_BYTES + BYTES_PER_NUMBER * Math.min(width, connection.exists(), MOST_NUMBERS),
  });
  if (!Array.isArray(found)) throw new ImapError('protocol', 'the server refuses to search');
  if (connection.partialAnswers() > before) return undefined;
  // One may not say each time that there is more.
  const limit = connection.messageLimit();
  return width > limit && found.length >= limit ? undefined : found.filter(isUid).sort((a, b) => a - b);
}

/**
 * The first mails behind a UID: all of them up to `to`. There are some, unless `isEnd` or after `mostSearches`.
 *
 * @param end how far is searched; undefined: to the end of the folder.
 * @param since of this day, or later.
 * @returns `isEnd`: it was searched that far.
 * @throws as `searchUids`
 */
export async function searchFirst(
  connection: ImapConnection,
  after: number,
  {
    end,
    since,
    mostSearches = Number.POSITIVE_INFINITY,
  }: { end?: number; since?: Date; mostSearches?: number },
): Promise<{ uids: number[]; to: number; isEnd: boolean }> {
  const { mailbox } = connection.client;
  const exists = connection.exists();
  const uidNext = mailbox === false ? 0 : mailbox.uidNext;
  const mostReach = exists <= MOST_NUMBERS ? MAX_UID : MOST_NUMBERS;
  let last = end ?? (uidNext > 0 ? uidNext - 1 : MAX_UID);
  let reach = Math.min(SEARCH_REACH, connection.messageLimit());
  // It can be told of no more than there are.
  if (exists <= reach && connection.messageLimit() === Number.POSITIVE_INFINITY) reach = MAX_UID;
  let isCut = false;
  let from = after + 1;
  for (let searches = 1; ; searches++) {
    const isEnd = from + reach > last;
    // More may have come since it said how far it is.
    const isOpen = isEnd && end === undefined && !isCut;
    const to = isOpen ? MAX_UID : Math.min(from + reach - 1, last);
    const width = isOpen ? Number.POSITIVE_INFINITY : to - from + 1;
    const uid = isOpen ? `${from}:*` : `${from}:${to}`;
    // By UIDs alone it finds something wherever there is something, at however few mails it looks.
    const isNarrow = width <= connection.messageLimit();
    const found = await searchWhole(connection, { uid, ...(isNarrow && since && { since }) }, width);
    // `n:*` always answers the last mail, also one before n (RFC 9051, 6.4.4.1).
    const uids = found?.filter((one) => one >= from && one <= to);
    const isSure = uids !== undefined && (uids.length === 0 || isNarrow || since === undefined);
    if (isSure && (uids.length > 0 || isEnd || searches >= mostSearches)) return { uids, to, isEnd };
    if (isSure) {
      from = to + 1;
      reach = Math.min(reach * REACH_STEP, mostReach);
      continue;
    }
    if (isNarrow && width === 1) throw partial();
    // It keeps a lower limit than it says, or says none.
    if (isNarrow && !isOpen) reach = Math.ceil(width / REACH_STEP);
    reach = Math.min(reach, connection.messageLimit());
    if (!isOpen) continue;
    isCut = true;
    last = MAX_UID;
  }
}

function partial(): ImapError {
  return new ImapError('protocol', 'the server searches some of the mails alone (MESSAGELIMIT)');
}

export function isUid(uid: unknown): uid is number {
  return typeof uid === 'number' && Number.isSafeInteger(uid) && uid > 0 && uid <= MAX_UID;
}
