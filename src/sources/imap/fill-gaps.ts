import { keyOfIdentity } from '../../core/dedupe.ts';
import { afterFailedTry, type DueStub, type StubResult } from '../../core/stub.ts';
import type { ImapConnection } from './connection.ts';
import { ImapError } from './imap-error.ts';
import { listMails, mayBeOfMails, pageOf, rangesOf, withUndescribed } from './listing.ts';
import { dayBefore } from './open-folder.ts';
import { mailPlaceOf, parseMailPlace } from './place.ts';
import type { Folder, FolderTools } from './read-folder.ts';
import { readMails } from './read-mails.ts';
import { searchFirst, searchUids } from './search-uids.ts';
import { type FolderGap, held } from './session-store.ts';

/*
 * What is read beside new mail: the mails of a gap are listed page by page and become stubs; stubs are fetched when they are
 * due. New mail comes first, so this goes on a page at a time.
 */

const SECOND_MS = 1000;
/** Where a folder has nothing of the time: then new mail comes first again. */
const MOST_SEARCHES = 16;
const UNLISTED_AFTER_STRIKES = 2;

/**
 * Keeps the next page of a gap of the selected folder: a stub for each mail in its stretch that is not stored.
 *
 * One of them may end connections, or be refused, as soon as it is listed. Then the page is kept as its UIDs alone: its stubs find which.
 */
export async function listGapPage(
  connection: ImapConnection,
  folder: Folder,
  gap: FolderGap,
  { store, scope, signal }: FolderTools,
): Promise<void> {
  const { cursor, path } = folder;
  if (cursor === undefined)
    throw new ImapError('internal', 'a gap of a folder is listed before it was opened');
  const after = gap.pageToken === null ? 0 : Number(gap.pageToken);
  // What is behind the cursor is read without this.
  const wish = { end: cursor.uid, since: dayBefore(gap.since), mostSearches: MOST_SEARCHES };
  const isListed = after >= cursor.uid;
  const { uids, to } = isListed ? { uids: [], to: after } : await searchFirst(connection, after, wish);
  const page = uids.slice(0, pageOf(connection));
  const listed =
    gap.strikes < UNLISTED_AFTER_STRIKES
      ? await listMails(connection, page, scope).catch(async (error) => {
          if (mayBeOfMails(error, connection) && !signal.aborted) await store.noteGapStrike(gap.id);
          throw error;
        })
      : [];
  // An INTERNALDATE has no part of a second.
  const since = new Date(Math.floor(gap.since.getTime() / SECOND_MS) * SECOND_MS);
  // What the search found and the listing left out is not passed over: fetching it shows whether it is gone.
  const wanted = withUndescribed(page, listed).filter(
    ({ internalDate }) =>
      internalDate === null || (internalDate >= since && (gap.until === null || internalDate < gap.until)),
  );
  const stubs = wanted.map(({ uid, identity }) => ({
    providerId: mailPlaceOf(path, cursor.uidValidity, uid),
    key: keyOfIdentity(identity) ?? null,
  }));
  const reached = uids.length > page.length ? (page.at(-1) ?? to) : to;
  const next = reached < cursor.uid ? String(reached) : null;
  const { uidValidity } = cursor;
  held(await store.keepGapPage(gap, { stubs, listed: wanted.length, next }, { path, uidValidity }));
}

type PlacedStub = { stub: DueStub; uid: number; uidValidity: number };

/** Stubs by folder. `unreadable`: what came of those that say no place, which would be due for ever. */
export function sortStubs(stubs: readonly DueStub[]): {
  byPath: Map<string, PlacedStub[]>;
  unreadable: StubResult[];
} {
  const byPath = new Map<string, PlacedStub[]>();
  const unreadable: StubResult[] = [];
  for (const stub of stubs) {
    const place = parseMailPlace(stub.providerId);
    if (place === undefined) {
      unreadable.push({ id: stub.id, outcome: 'missing', error: 'it does not say where its mail is' });
    } else byPath.set(place.path, [...(byPath.get(place.path) ?? []), { stub, ...place }]);
  }
  return { byPath, unreadable };
}

/**
 * Fetches stubs of the selected folder and hands their mails over; each is settled once its mail is durable.
 *
 * @throws as `readMails`. If the connection ended or FETCH was refused, one of those that were under way may be why: each of them is
 *   fetched by itself from then on, and once it is alone, it counts a try and waits.
 */
export async function fetchStubs(
  connection: ImapConnection,
  folder: Folder,
  stubs: readonly { stub: DueStub; uid: number; uidValidity: number }[],
  tools: FolderTools,
): Promise<{ hasMail: boolean }> {
  const { store } = tools;
  const uidValidity = folder.cursor?.uidValidity;
  const results: StubResult[] = [];
  const byUid = new Map<number, DueStub>();
  // As they are fetched: the first that is left when the connection ends was under way.
  for (const { stub, ...place } of [...stubs].sort((a, b) => a.uid - b.uid)) {
    if (stub.isStored) results.push({ id: stub.id, outcome: 'settled' });
    else if (place.uidValidity !== uidValidity) {
      results.push({
        id: stub.id,
        outcome: 'missing',
        error: 'the folder got new UIDs before it was fetched',
      });
    } else byUid.set(place.uid, stub);
  }
  const isCautious = stubs.some(({ stub }) => stub.attempts > 0);
  let hasMail = false;
  try {
    // One may end connections as soon as it is listed: by itself it is known for it.
    const batches = isCautious ? [...byUid.keys()].map((uid) => [uid]) : [[...byUid.keys()]];
    for (const uids of batches) await fetchBatch(uids);
    if (results.length > 0) await store.settleStubs(results);
  } catch (error) {
    if (mayBeOfMails(error, connection) && !tools.signal.aborted) {
      const { message } = error;
      const left = [...byUid.values()];
      await store.settleStubs(
        isCautious
          ? left.slice(0, 1).map((stub) => afterFailedTry(stub, message))
          : left.map(({ id }) => ({ id, outcome: 'retry', error: message, delayMs: 0 })),
      );
    }
    throw error;
  }
  return { hasMail };

  async function fetchBatch(uids: readonly number[]): Promise<void> {
    const listed = await listMails(connection, uids, tools.scope);
    const isThere = new Set(listed.map(({ uid }) => uid));
    const unlisted = uids.filter((uid) => !isThere.has(uid));
    // What a listing leaves out may be there all the same.
    if (unlisted.length > 0) {
      for (const uid of await searchUids(connection, { uid: rangesOf(unlisted) }, unlisted.length))
        isThere.add(uid);
    }
    const mails = withUndescribed(
      uids.filter((uid) => isThere.has(uid)),
      listed,
    );
    for (const uid of uids) {
      const stub = byUid.get(uid);
      if (stub === undefined || isThere.has(uid)) continue;
      byUid.delete(uid);
      results.push({ id: stub.id, outcome: 'missing', error: 'it was gone when it was to be fetched' });
    }
    for await (const page of readMails(connection, mails, { ...tools, folder, isCautious })) {
      const settled = page.flatMap((result): StubResult[] => {
        const stub = byUid.get(result.uid);
        byUid.delete(result.uid);
        if (stub === undefined) return [];
        const { id } = stub;
        if (result.outcome === 'retry') return [afterFailedTry(stub, result.error)];
        return 'error' in result
          ? [{ id, outcome: result.outcome, error: result.error }]
          : [{ id, outcome: result.outcome }];
      });
      hasMail ||= page.some(({ outcome }) => outcome === 'stored');
      await store.settleStubs(settled);
    }
  }
}
