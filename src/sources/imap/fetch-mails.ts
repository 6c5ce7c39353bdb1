import type { ImapConnection } from './connection.ts';
import { fetchRows } from './fetch-rows.ts';
import { ImapError } from './imap-error.ts';
import { describeMail, type ListedMail, listingQuery, MOST_LISTING_BYTES, rangesOf } from './listing.ts';

/** Sizes are told inexactly, by some servers without CRs. A mail that is larger by far is fetched by itself, after some strikes. */
const SPARE_BYTES = 4 * 1024 * 1024;
const FETCH_DEADLINE_MS = 60_000;
/** A slower server would hold up the folder for hours, and the memory too. */
const LEAST_BYTES_PER_SECOND = 50_000;

export type Fetched = {
  listed: ListedMail;
  bytes: Uint8Array | undefined;
  isTruncated: boolean;
  error: string | undefined;
};

type Wanted = {
  isTruncated: boolean;
  /** Of all the mails of the page. */
  bytes: number;
  maxMailBytes: number;
  scope: string;
  /** What the listing did not tell of a mail is not asked for again: it may be what cannot be had. */
  isBare?: boolean;
};

/**
 * Fetches mails of the selected folder: all at once, and each by itself when the server refuses that.
 *
 * @returns each of them; one that cannot be had has an error, one that is gone has neither that nor bytes.
 * @throws ImapError when the connection ends, and for a plea to ask less.
 */
export async function fetchMails(
  connection: ImapConnection,
  mails: readonly ListedMail[],
  wanted: Wanted,
): Promise<Fetched[]> {
  if (mails.length === 0) return [];
  const { isTruncated, isBare = false } = wanted;
  try {
    const found = await fetchBytes(connection, mails, wanted);
    const missing = mails.filter(({ uid }) => !found.has(uid));
    const isThere = missing.length === 0 ? new Set() : await findThere(connection, missing);
    const withheld = missing.filter(({ uid, isDescribed }) => !isBare && !isDescribed && isThere.has(uid));
    const bare = await fetchMails(connection, withheld, { ...wanted, isBare: true });
    return mails.map(
      (listed) =>
        found.get(listed.uid) ??
        bare.find((one) => one.listed.uid === listed.uid) ?? {
          listed,
          bytes: undefined,
          isTruncated,
          error: isThere.has(listed.uid) ? 'the server lists it and does not give it' : undefined,
        },
    );
  } catch (error) {
    if (
      !(error instanceof ImapError) ||
      !connection.isOpen() ||
      error.fault === 'throttle' ||
      error.fault === 'quota'
    ) {
      throw error;
    }
    const [first] = mails;
    if (mails.length === 1 && first !== undefined) {
      if (!isBare && !first.isDescribed) return fetchMails(connection, mails, { ...wanted, isBare: true });
      return [{ listed: first, bytes: undefined, isTruncated, error: error.message }];
    }
    const fetched: Fetched[] = [];
    for (const mail of mails) fetched.push(...(await fetchMails(connection, [mail], wanted)));
    return fetched;
  }
}

/**
 * By UID, those that were asked for and given: a server may tell of others. What a mail is the server says with its bytes too;
 * of one that the listing did not describe it counts.
 */
async function fetchBytes(
  connection: ImapConnection,
  mails: readonly ListedMail[],
  { isTruncated, bytes, maxMailBytes, scope, isBare = false }: Wanted,
): Promise<Map<number, Fetched>> {
  const isTold = isBare || mails.every(({ isDescribed }) => isDescribed);
  const query = {
    ...(isTold ? { uid: true } : listingQuery(connection)),
    ...(isTruncated ? { headers: true } : { source: true }),
  };
  const deadlineMs = FETCH_DEADLINE_MS + (bytes / LEAST_BYTES_PER_SECOND) * 1000;
  const byUid = new Map(mails.map((mail) => [mail.uid, mail]));
  const rows = await fetchRows(connection, rangesOf([...byUid.keys()]), query, {
    isWanted: ({ uid }) => byUid.has(uid),
    mostBytes: 2 * bytes + (mails.length === 1 ? maxMailBytes : 0) + SPARE_BYTES,
    deadlineMs,
    leastBytesPerSecond: LEAST_BYTES_PER_SECOND,
  });
  return new Map(
    rows.flatMap((row) => {
      const mail = byUid.get(row.uid);
      // False, which its type does not say, for NIL: so servers answer of a mail that is removed while they look for it.
      const found: Buffer | false | undefined = isTruncated ? row.headers : row.source;
      if (mail === undefined || !found) return [];
      const listed = mail.isDescribed ? mail : describeMail(connection, row, scope);
      return [[row.uid, { listed, bytes: found, isTruncated, error: undefined }] as const];
    }),
  );
}

/** A mail whose row cannot be read is there. */
async function findThere(connection: ImapConnection, mails: readonly ListedMail[]): Promise<Set<unknown>> {
  const uids = mails.map(({ uid }) => uid);
  const unreadable = connection.unreadableRows();
  const rows = await fetchRows(
    connection,
    rangesOf(uids),
    { uid: true },
    { isWanted: ({ uid }) => uids.includes(uid), mostBytes: MOST_LISTING_BYTES },
  );
  return new Set(connection.unreadableRows() === unreadable ? rows.map(({ uid }) => uid) : uids);
}
