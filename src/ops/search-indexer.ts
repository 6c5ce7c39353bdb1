import { setImmediate, setTimeout as wait } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Id } from '../core/ids.ts';
import { SEARCHED_TEXT_BYTES, searchTextOf } from '../core/search-text.ts';
import type { Database } from '../store/database.ts';
import {
  claimSearchWork,
  createSearchLease,
  finishSearchWork,
  forgetStaleWords,
  readSearched,
  type SearchedMessage,
  writeSearchWords,
} from '../store/search-index.ts';
import { describeStoreError, isRowRefused } from '../store/unavailable.ts';

const SCAN_MS = 1000;
/** What comes within it is read together. What an older transaction holds back is looked for after it, and then less often. */
const GATHER_MS = 100;
/** Events a step, and bytes of text a statement: neither holds much in memory or at the database for long. */
const STEP_EVENTS = 32;
const STATEMENT_BYTES = 512 * 1024;
/** Far longer than a step takes. When a process dies, another goes on after it. */
const LEASE_MS = 30_000;
/** After each step it rests so many times as long as that took: what was stored before goes on in the background. */
const RESTS = 2;
const LONGEST_REST_MS = 2000;
const TELL_EACH_MS = 60_000;
/** What a text is cut to that PostgreSQL refuses: from all to a part, to nothing but what the message is held to. */
const SHORTER_BYTES = [SEARCHED_TEXT_BYTES, 4096, 0];

export type SearchIndexer = {
  /** There may be new messages. */
  wake(): void;
  stop(): Promise<void>;
};

/**
 * Writes the words by which messages are found, behind ingest and apart from it. In every process that dispatches; one is at
 * it at a time. Woken by commits of its own process; those of others it finds within a second.
 */
export function startSearchIndexer(options: {
  database: Database;
  log: Logger;
  scanMs?: number | undefined;
}): SearchIndexer {
  const { database, log, scanMs = SCAN_MS } = options;
  const sql = database.search;
  const lease = createSearchLease(LEASE_MS);
  const stopping = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  let looking: Promise<void> | undefined;
  let isWanted = false;
  let heldBackMs = GATHER_MS;
  let toldMs = Number.NEGATIVE_INFINITY;
  let untold = 0;

  function wake(): void {
    isWanted = true;
    if (stopping.signal.aborted || looking !== undefined) return;
    clearTimeout(timer);
    isWanted = false;
    let nextMs = scanMs;
    looking = index()
      .then((isHeldBack) => {
        heldBackMs = isHeldBack ? Math.min(heldBackMs * 2, scanMs) : GATHER_MS;
        if (isHeldBack) nextMs = heldBackMs;
      })
      .catch((error) => log.warn({ reason: describeStoreError(error) }, 'could not index messages'))
      .finally(() => {
        looking = undefined;
        if (stopping.signal.aborted) return;
        timer = setTimeout(wake, isWanted ? Math.min(GATHER_MS, scanMs) : nextMs);
      });
  }

  /** @returns whether there is more that cannot be read yet. */
  async function index(): Promise<boolean> {
    while (!stopping.signal.aborted) {
      const startedMs = performance.now();
      const { work, isHeldBack } = await database.inTime(claimSearchWork(sql, lease, STEP_EVENTS));
      if (work === undefined) return isHeldBack;
      await write(work.missing, false);
      await write(work.stale, true);
      await database.inTime(finishSearchWork(sql, lease, work));
      if (!work.isMore) return isHeldBack;
      const restMs = Math.min(LONGEST_REST_MS, RESTS * (performance.now() - startedMs));
      await wait(restMs, undefined, { signal: stopping.signal }).catch(() => {});
    }
    return false;
  }

  async function write(ids: readonly Id<'msg'>[], isAgain: boolean): Promise<void> {
    if (ids.length === 0) return;
    const messages = await read(ids, isAgain);
    for await (const group of inGroups(messages, textOf)) {
      try {
        await database.inTime(writeSearchWords(sql, group, isAgain));
      } catch (error) {
        if (!isRowRefused(error)) throw error;
        const refused = new Set(group.map(({ id }) => id));
        for (const message of messages) if (refused.has(message.id)) await writeAlone(message, isAgain);
      }
    }
  }

  /** Without those that PostgreSQL cannot read as the messages they ought to be: these hold up nothing, and are found by nothing. */
  async function read(ids: readonly Id<'msg'>[], isAgain: boolean): Promise<SearchedMessage[]> {
    try {
      return await database.inTime(readSearched(sql, ids));
    } catch (error) {
      if (!isRowRefused(error)) throw error;
      const [only, ...others] = ids;
      if (only !== undefined && others.length === 0) {
        await giveUp(only, isAgain, error);
        return [];
      }
      const found: SearchedMessage[] = [];
      for (const id of ids) found.push(...(await read([id], isAgain)));
      return found;
    }
  }

  /** What PostgreSQL refuses of it (a word list of more than 1 MB) holds up nothing: it is found by less. */
  async function writeAlone(message: SearchedMessage, isAgain: boolean): Promise<void> {
    let refusal: unknown;
    for (const bytes of SHORTER_BYTES) {
      try {
        await database.inTime(
          writeSearchWords(sql, [{ id: message.id, text: textOf(message, bytes) }], isAgain),
        );
        return;
      } catch (error) {
        if (!isRowRefused(error)) throw error;
        refusal = error;
      }
    }
    await giveUp(message.id, isAgain, refusal);
  }

  async function giveUp(id: Id<'msg'>, isAgain: boolean, reason: unknown): Promise<void> {
    tell(id, describeStoreError(reason));
    // Else it would be asked for again at once, and for ever.
    if (isAgain) await database.inTime(forgetStaleWords(sql, id));
  }

  /** Nothing of one that is not as ours are. */
  function textOf(message: SearchedMessage, bytes?: number): string {
    try {
      return searchTextOf(message, bytes);
    } catch (error) {
      // What is wrong with it would quote it.
      tell(message.id, error instanceof Error ? error.name : 'unreadable');
      return '';
    }
  }

  /** Of many, one a minute: thousands may have come by one way. */
  function tell(messageId: Id<'msg'>, reason: string): void {
    untold++;
    if (performance.now() - toldMs < TELL_EACH_MS) return;
    log.warn({ messageId, reason, count: untold }, 'messages cannot be searched');
    toldMs = performance.now();
    untold = 0;
  }

  wake();
  return {
    wake,
    async stop() {
      stopping.abort();
      clearTimeout(timer);
      await looking;
    },
  };
}

/** The texts of messages, so many together as fit a statement. */
async function* inGroups(
  messages: readonly SearchedMessage[],
  textOf: (message: SearchedMessage) => string,
): AsyncGenerator<{ id: Id<'msg'>; text: string }[]> {
  let group: { id: Id<'msg'>; text: string }[] = [];
  let bytes = 0;
  for (const message of messages) {
    const text = textOf(message);
    // Requests have their turn between two messages.
    await setImmediate();
    if (group.length > 0 && bytes + text.length > STATEMENT_BYTES) {
      yield group;
      group = [];
      bytes = 0;
    }
    group.push({ id: message.id, text });
    bytes += text.length;
  }
  if (group.length > 0) yield group;
}
