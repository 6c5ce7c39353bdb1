import type { ByteBudget } from '../../core/byte-budget.ts';
import { keyOfIdentity } from '../../core/dedupe.ts';
import { isPassedOver } from '../../core/passed-over.ts';
import type { RawMail } from '../../core/raw-mail.ts';
import type { ImapConnection } from './connection.ts';
import { type Fetched, fetchMails } from './fetch-mails.ts';
import { gmailLabelsOf } from './gmail-labels.ts';
import { refuseUidToCome } from './last-uid.ts';
import { type ListedMail, rangesOf } from './listing.ts';
import { searchUids } from './search-uids.ts';
import type { SessionStore, TakeMail } from './session-store.ts';
import { watchProgress } from './stall.ts';

/** What became of a listed mail. All but `retry` are final, and durable. */
export type MailResult = { uid: number; key: Uint8Array | null } & (
  | { outcome: 'stored' | 'settled' }
  | { outcome: 'missing' | 'failed' | 'retry'; error: string }
);

export type ReadTools = {
  store: Pick<SessionStore, 'findStoredKeys'>;
  take: TakeMail;
  /** Over all sessions of the process: mails that are pages by themselves have a room of their own, and wait for each other alone. */
  memory: { pages: ByteBudget; large: ByteBudget; patienceMs: number };
  /** Larger mails are taken with their headers alone. */
  maxMailBytes: number;
  /** What an EMAILID is unique in. */
  scope: string;
  folder: { path: string; role: string | null };
  /** One mail a FETCH: something among these ends connections. */
  isCautious: boolean;
  /** The server gives what there is. */
  noteAlive(hasMail: boolean): void;
  /** The session is to end: a connection that does so is no fault of the mail that was being fetched. */
  signal: AbortSignal;
};

/** So much is fetched at once. */
const PAGE_BYTES = 4 * 1024 * 1024;
const PAGE_MAILS = 64;
/** So little is in nobody's way: new mail does not wait for memory behind the backlogs of others. */
const FREE_BYTES = 64 * 1024;
/** The largest mails are not said the size of. */
const UNKNOWN_BYTES = PAGE_BYTES;
const CATEGORIES = {
  CATEGORY_PROMOTIONS: 'promotions',
  CATEGORY_SOCIAL: 'social',
  CATEGORY_UPDATES: 'updates',
  CATEGORY_FORUMS: 'forums',
} as const;

/** Fetched mails; `letGo` when their bytes are needed no more. */
type Page = { fetched: Fetched[]; letGo: () => void };

/**
 * Fetches mails of the selected folder and hands them over, page by page and in order; the next page is fetched while this
 * one is being stored. What is stored already, by its id, is not fetched.
 *
 * @param mails in the order of their UIDs.
 * @throws ImapError when the connection ends, and what the door throws: the mails that were not yielded are untold.
 */
export async function* readMails(
  connection: ImapConnection,
  mails: readonly ListedMail[],
  tools: ReadTools,
): AsyncGenerator<MailResult[]> {
  const stored = await findStored(mails, tools);
  const categories = await readCategories(connection, mails, tools);
  const pages = pagesOf(mails, stored, tools);
  let next = fetchAt(0);
  try {
    for (const [at, page] of pages.entries()) {
      const { fetched, letGo } = await next;
      // Begun after that one has ended: one command at a time.
      next = fetchAt(at + 1);
      const results = await Promise.all(fetched.map((one) => resultOf(one))).finally(letGo);
      const settled = page.filter(({ uid }) => stored.has(uid)).map((mail) => resultOfStored(mail));
      yield [...results, ...settled].sort((a, b) => a.uid - b.uid);
    }
  } finally {
    // Whoever is done with this sends the next command, or closes the connection, which ends it.
    await next.then(
      ({ letGo }) => letGo(),
      () => {},
    );
  }

  function fetchAt(at: number): Promise<Page> {
    const page = pages[at]?.filter(({ uid }) => !stored.has(uid)) ?? [];
    const fetching = fetchPage(connection, page, tools);
    // It is awaited later; until then its failure is nobody's.
    fetching.catch(() => {});
    return fetching;
  }

  async function resultOf({ listed, bytes, isTruncated, error }: Fetched): Promise<MailResult> {
    const base = { uid: listed.uid, key: keyOfIdentity(listed.identity) ?? null };
    if (error !== undefined) return { ...base, outcome: 'retry', error };
    if (bytes === undefined)
      return { ...base, outcome: 'missing', error: 'it was gone when it was to be fetched' };
    const mail = toRawMail(listed, bytes, isTruncated, categories.get(listed.uid) ?? [], tools);
    if (listed.identity.base === 'gmail' && isPassedOver(mail.labels, {})) {
      return { ...base, outcome: 'settled' };
    }
    const taken = await tools.take(mail, mails.length > 1);
    if (taken.status === 'rejected') return { ...base, outcome: 'failed', error: taken.reason };
    return { ...base, outcome: taken.status === 'accepted' ? 'stored' : 'settled' };
  }

  function resultOfStored({ uid }: ListedMail): MailResult {
    return { uid, key: null, outcome: 'settled' };
  }
}

/** UIDs of those that came by another way, or were moved here. */
async function findStored(mails: readonly ListedMail[], { store }: ReadTools): Promise<ReadonlySet<number>> {
  const keys = new Map(
    mails.flatMap(({ uid, identity }) => {
      const key = keyOfIdentity(identity);
      return key === undefined ? [] : [[uid, key] as const];
    }),
  );
  if (keys.size === 0) return new Set();
  const stored = await store.findStoredKeys([...keys.values()]);
  return new Set(
    [...keys].filter(([, key]) => stored.has(Buffer.from(key).toString('hex'))).map(([uid]) => uid),
  );
}

/** Gmail's tabs, which its labels over IMAP do not tell. */
async function readCategories(
  connection: ImapConnection,
  mails: readonly ListedMail[],
  { folder }: ReadTools,
): Promise<Map<number, string[]>> {
  const found = new Map<number, string[]>();
  const inInbox = mails.filter(
    ({ labels }) => labels.has('\\Inbox') || folder.path.toUpperCase() === 'INBOX',
  );
  if (!connection.has('X-GM-EXT-1') || inInbox.length === 0) return found;
  const uid = rangesOf(inInbox.map((mail) => mail.uid));
  for (const [label, category] of Object.entries(CATEGORIES)) {
    for (const one of await searchUids(connection, { uid, gmraw: `category:${category}` }, inInbox.length)) {
      found.set(one, [...(found.get(one) ?? []), label]);
    }
  }
  return found;
}

/** In order, each bounded in number and bytes; a larger mail goes alone. */
function pagesOf(
  mails: readonly ListedMail[],
  stored: ReadonlySet<number>,
  { isCautious, maxMailBytes }: ReadTools,
): ListedMail[][] {
  const pages: ListedMail[][] = [];
  let page: ListedMail[] = [];
  let pageBytes = 0;
  for (const mail of mails) {
    const bytes = stored.has(mail.uid) ? 0 : bytesOf(mail, maxMailBytes);
    const isFull =
      page.length >= (isCautious ? 1 : PAGE_MAILS) || (page.length > 0 && pageBytes + bytes > PAGE_BYTES);
    if (isFull) {
      pages.push(page);
      page = [];
      pageBytes = 0;
    }
    page.push(mail);
    pageBytes += bytes;
  }
  if (page.length > 0) pages.push(page);
  return pages;
}

function bytesOf({ sizeBytes = 0 }: ListedMail, maxMailBytes: number): number {
  // Some say 0 of what they have not measured.
  return Math.min(sizeBytes > 0 ? sizeBytes : UNKNOWN_BYTES, maxMailBytes);
}

async function fetchPage(
  connection: ImapConnection,
  page: readonly ListedMail[],
  tools: ReadTools,
): Promise<Page> {
  const { memory, maxMailBytes, scope, signal } = tools;
  const isWhole = ({ sizeBytes }: ListedMail) => sizeBytes === undefined || sizeBytes <= maxMailBytes;
  const whole = page.filter(isWhole);
  const large = page.filter((mail) => !isWhole(mail));
  const bytes = page.reduce((sum, mail) => sum + bytesOf(mail, maxMailBytes), 0);
  const room = bytes <= PAGE_BYTES ? memory.pages : memory.large;
  const letGo = bytes <= FREE_BYTES ? () => {} : await takeRoom(room, bytes, memory.patienceMs, signal);
  if (letGo === undefined) {
    const error = 'there was no room for it in memory, beside the mail of others';
    const fetched = page.map((listed) => ({ listed, bytes: undefined, isTruncated: false, error }));
    await refuseUidToCome(connection, page.at(-1)?.uid ?? 0);
    return { fetched, letGo: () => {} };
  }
  const endWatch = watchProgress(
    () => connection.client.stats().received,
    () => tools.noteAlive(false),
  );
  try {
    const fetched = [
      ...(await fetchMails(connection, whole, { isTruncated: false, bytes, maxMailBytes, scope })),
      ...(await fetchMails(connection, large, { isTruncated: true, bytes, maxMailBytes, scope })),
    ];
    const gone = fetched.filter(({ bytes: found }) => found === undefined).at(-1);
    // Passed as one that is gone or cannot be had, a UID that was made up would have the cursor pass what is still to get one.
    if (gone !== undefined) await refuseUidToCome(connection, gone.listed.uid);
    return { fetched, letGo };
  } catch (error) {
    letGo();
    throw error;
  } finally {
    endWatch();
  }
}

/**
 * Undefined when it takes too long: a session that stands still is not proven alive, and hears of no new mail. Its mails are then
 * fetched later, as any that cannot be had at once.
 */
async function takeRoom(
  room: ByteBudget,
  bytes: number,
  patienceMs: number,
  signal: AbortSignal,
): Promise<(() => void) | undefined> {
  const late = AbortSignal.timeout(patienceMs);
  try {
    return await room.take(bytes, AbortSignal.any([signal, late]));
  } catch (error) {
    signal.throwIfAborted();
    if (late.aborted) return undefined;
    throw error;
  }
}

function toRawMail(
  { identity, internalDate, threadId, labels }: ListedMail,
  bytes: Uint8Array,
  truncated: boolean,
  categories: readonly string[],
  { folder }: ReadTools,
): RawMail {
  const isGmail = identity.base === 'gmail';
  return {
    bytes,
    truncated,
    identity,
    providerId: identity.base === 'content' ? null : identity.id,
    threadId,
    labels: isGmail ? gmailLabelsOf(labels, folder.role, categories) : [],
    folder: folder.path,
    folderRole: folder.role,
    internalDate,
    snippet: null,
  };
}
