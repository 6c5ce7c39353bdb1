import { createBacklog, isOfFolder } from './backlog.ts';
import type { ImapConnection } from './connection.ts';
import { isWorthALook, noteUnseen, readStatuses, standingOf } from './folder-status.ts';
import { ImapError } from './imap-error.ts';
import { openFolder } from './open-folder.ts';
import { type Folder, noteRead, readFolder } from './read-folder.ts';
import type { SessionSettings, SessionTools } from './session-tools.ts';
import {
  hasTriesLeft,
  isOpenable,
  refusalOfMain,
  refuse,
  type Watch,
  type WatchedFolder,
} from './watched-folder.ts';

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
/** How often the server is asked about all folders: also how soon a connection that has died in silence is noticed. */
export const PROBE_MS = 30 * SECOND_MS;
const POLL_MS = MINUTE_MS;
/** Every so many times it is also looked whether there are new folders: some make Junk when the first mail comes to it. */
const PROBES_PER_LIST = 20;
/** A folder that is not the main one is read for so long until the main one is looked at again. */
const SLICE_MS = 5 * SECOND_MS;
/** The store is away: so long until the work is tried again, and as much more by chance. */
const STORE_WAIT_MS = 3 * SECOND_MS;

/**
 * Reads the folders of a connection and goes on reading what comes, until the signal.
 *
 * New mail comes first: what a gap or a stub wants goes on a page at a time.
 *
 * @throws ImapError, LeaseLost, and faults of ours.
 */
export async function watchFolders(
  connection: ImapConnection,
  watch: Watch,
  settings: SessionSettings,
  tools: SessionTools,
): Promise<void> {
  const { signal, store } = tools;
  const { folders, bell } = watch;
  const { tuning } = settings;
  const probeMs = tools.probeMs ?? PROBE_MS;
  const hasIdle = connection.hasIdle();
  const restMs = hasIdle ? probeMs : (tuning.pollIntervalMs ?? POLL_MS);
  const restartMs = tuning.idleRestartMs ?? settings.idleRestartMs;
  const waking = new Set(folders.filter(tools.isReadByOthers));
  const backlog = createBacklog(connection, tools, withFolder);
  let open: Folder | undefined;
  let openedMs = 0;
  let lastRead: WatchedFolder | undefined;
  let nextProbeMs = performance.now() + restMs;
  let probes = 0;
  /** What was last said of it; undefined while it is not at rest. */
  let saidAtRest: string | null | undefined;
  /** The server has answered; once what it told of is read, the source is proven alive. */
  let isAnswered = true;

  connection.onChange(() => {
    const [main] = folders.filter(isOpenable);
    if (main !== undefined) main.isDue = true;
    bell.ring();
  });
  tools.note('syncing', null);

  while (!signal.aborted) {
    try {
      await step();
    } catch (error) {
      if (!tools.isPassing(error)) throw error;
      saidAtRest = undefined;
      watch.hasBacklog = watch.isFirst;
      await bell.wait(STORE_WAIT_MS * (1 + tools.random()));
    }
  }

  async function step(): Promise<void> {
    const openable = folders.filter(isOpenable);
    const [main] = openable;
    if (saidAtRest !== undefined && saidAtRest !== refusalOfMain(watch)) noteRest();
    if (main === undefined) {
      // The session's other folders are read by the first connection, which goes on. One folder may be locked for a moment.
      if (!watch.isFirst || folders.some(hasTriesLeft)) return waitForFolder();
      throw new ImapError('folder', `none of the folders can be opened: ${reasonOf(folders)}`);
    }
    const due = nextDue(openable);
    // However long the others take, they are asked as at rest, for what comes to the rest of them.
    if (due !== undefined && due !== main && performance.now() >= nextProbeMs) return probe(openable);
    if (due !== undefined) return readOne(due, main);
    // Those that are refused say so themselves; the others go on.
    if (isAnswered) tools.noteAlive(false);
    isAnswered = false;
    if (watch.hasBacklog) {
      // However long it takes, the folders are asked as at rest, and the main one, which is not heard of meanwhile, more often.
      if (performance.now() >= nextProbeMs) return probe(openable);
      if (open !== main && performance.now() - openedMs > SLICE_MS) {
        main.isDue = true;
        return;
      }
      // Rung for while it is looked at, it is looked at again.
      watch.hasBacklog = false;
      if (await backlog.work()) {
        watch.hasBacklog = true;
        return;
      }
    }
    if (open !== main) {
      main.isDue = true;
      return;
    }
    await rest(openable);
  }

  /** The main one first, the others by turns. */
  function nextDue([main, ...others]: readonly WatchedFolder[]): WatchedFolder | undefined {
    if (main?.isDue) return main;
    const at = (lastRead === undefined ? -1 : others.indexOf(lastRead)) + 1;
    return [...others.slice(at), ...others.slice(0, at)].find(({ isDue }) => isDue);
  }

  async function readOne(folder: WatchedFolder, main: WatchedFolder): Promise<void> {
    folder.isDue = false;
    if (folder !== main) lastRead = folder;
    try {
      const expected = open === folder ? expectedOf(folder) : await openOne(folder);
      const exists = connection.exists();
      const endsMs = performance.now() + SLICE_MS;
      const shouldPause = () => signal.aborted || (folder !== main && performance.now() > endsMs);
      const { hasStubs, isAtEnd } = await readFolder(connection, folder, expected, tools, shouldPause);
      if (hasStubs) tools.onBacklog();
      folder.existsSeen = exists;
      if (!isAtEnd) folder.isDue = true;
      // Mail of the main folder is not heard of meanwhile.
      if (!isAtEnd && folder !== main) main.isDue = true;
    } catch (error) {
      folder.isDue = true;
      // Of the session's main folder, what cannot be understood is no matter of that folder alone.
      const isMain = watch.isFirst && folder === main;
      if (!isOfFolder(error, connection) || (isMain && error.fault === 'protocol')) throw error;
      open = undefined;
      await refuse(watch, folder, error, store);
    }
  }

  /** How many mails there may be: as many as the server has told of, and one at least. */
  function expectedOf({ existsSeen }: WatchedFolder): number {
    return Math.max(1, connection.exists() - existsSeen);
  }

  async function openOne(folder: WatchedFolder): Promise<number | undefined> {
    open = undefined;
    const expected = await openFolder(connection, folder, tools, waking.has(folder));
    waking.delete(folder);
    folder.refusal = null;
    backlog.reopen(folder.path);
    open = folder;
    openedMs = performance.now();
    // A jump has left a gap.
    tools.onBacklog();
    return expected;
  }

  /** Waits for what comes, and asks from time to time whether all is as it seems. */
  async function rest(openable: readonly WatchedFolder[]): Promise<void> {
    noteRest();
    if (performance.now() < nextProbeMs) {
      if (hasIdle) connection.idle();
      const waitMs = Math.min(nextProbeMs, backlog.nextMs()) - performance.now();
      await bell.wait(Math.max(0, hasIdle ? waitMs : Math.min(waitMs, probeMs)));
      if (performance.now() >= backlog.nextMs()) watch.hasBacklog = watch.isFirst;
      // However rarely its owner wants it polled, that a connection has died shows as soon as with IDLE.
      if (!connection.isOpen() || !hasIdle) await connection.run((client) => client.noop());
      return;
    }
    await probe(openable);
  }

  function noteRest(): void {
    const refusal = refusalOfMain(watch);
    if (saidAtRest !== refusal) tools.note(hasIdle ? 'idle' : 'polling', hasIdle ? 'idle' : 'poll', refusal);
    saidAtRest = refusal;
  }

  /** It is opened again when its wait is over; until then the connection is kept alive. */
  async function waitForFolder(): Promise<void> {
    noteRest();
    const untilMs = Math.min(...folders.map(({ parkedUntilMs }) => parkedUntilMs));
    await bell.wait(Math.max(0, Math.min(untilMs - performance.now(), restMs)));
    if (!signal.aborted) await connection.run((client) => client.noop());
  }

  async function probe(openable: readonly WatchedFolder[]): Promise<void> {
    nextProbeMs = performance.now() + restMs;
    if (!hasIdle) await connection.run((client) => client.noop());
    const statuses = await readStatuses(
      connection,
      openable.map(({ path }) => path),
    );
    for (const folder of openable) {
      const status = statuses.get(folder.path);
      const standing = status && standingOf(folder.cursor, status);
      // Opened anew, it is brought in line; one that the server tells nothing of shows then why.
      if (standing === 'other' && open === folder) open = undefined;
      if (standing === 'read' && folder.cursor !== undefined && !folder.isDue) {
        await noteRead(folder, folder.cursor, folder.cursor.modSeq, tools);
      }
      const isUntold = standing === undefined && open !== folder;
      folder.unseen =
        standing === 'behind' && status !== undefined
          ? noteUnseen(folder.unseen, folder.cursor?.uid ?? 0, status)
          : undefined;
      const hasUnseen = folder.unseen !== undefined && isWorthALook(folder.unseen);
      if (standing === 'other' || isUntold || hasUnseen) folder.isDue = true;
    }
    if (performance.now() - openedMs > restartMs) {
      // IDLE is begun anew with a look at the folder as if it were for the first time.
      open = undefined;
      const [main] = openable;
      if (main !== undefined) main.isDue = true;
    }
    for (const folder of folders) {
      if (folder.parkedUntilMs > 0 && isOpenable(folder)) {
        folder.parkedUntilMs = 0;
        folder.isDue = true;
      }
    }
    isAnswered = true;
    if (watch.isFirst && ++probes % PROBES_PER_LIST === 0) await tools.lookForFolders(connection);
  }

  /** Opens a folder of this connection, or of another one of the session: then as it is now. */
  async function withFolder<T>(path: string, work: (folder: Folder) => Promise<T>): Promise<T> {
    const own = folders.find((folder) => folder.path === path);
    if (own !== undefined) {
      if (open !== own) {
        await openOne(own);
        own.isDue = true;
      }
      return work(own);
    }
    open = undefined;
    const cursor = (await store.listCursors()).find((one) => one.path === path);
    const folder: Folder = { path, role: cursor?.role ?? null, cursor, notedAt: undefined };
    await openFolder(connection, folder, tools, false);
    return work(folder);
  }
}

function reasonOf(folders: readonly WatchedFolder[]): string {
  return folders.map(({ path }) => `"${path}"`).join(', ');
}
