import { afterFailedTry, type DueStub } from '../../core/stub.ts';
import type { ImapConnection } from './connection.ts';
import { fetchStubs, listGapPage, sortStubs } from './fill-gaps.ts';
import { ImapError } from './imap-error.ts';
import type { Folder } from './read-folder.ts';
import type { FolderGap } from './session-store.ts';
import type { SessionTools } from './session-tools.ts';

/** What is to be read beside new mail: the gaps and the stubs of a source, a page at a time. */
export type Backlog = {
  /** @returns whether there was something to do. */
  work(): Promise<boolean>;
  /** When there is something again, as far as that is known; by the monotonic clock. */
  nextMs(): number;
  /** The folder can be opened: its gaps wait no longer. */
  reopen(path: string): void;
};

const SECOND_MS = 1000;
const STUB_BATCH = 64;
/** The gaps of a folder that cannot be listed wait so long, or until it is opened for its new mail. */
const CLOSED_WAIT_MS = 15 * 60 * SECOND_MS;

/**
 * What is wrong with one folder ends no session here, whichever it is: whether the main one can be read shows where its new mail
 * is read.
 *
 * @param withFolder selects a folder and works on it.
 */
export function createBacklog(
  connection: ImapConnection,
  tools: SessionTools,
  withFolder: <T>(path: string, work: (folder: Folder) => Promise<T>) => Promise<T>,
): Backlog {
  const { store } = tools;
  /** Folders whose gaps wait, and until when. */
  const closed = new Map<string, number>();
  let nextStubMs = Number.POSITIVE_INFINITY;

  const isClosed = (path: string) => (closed.get(path) ?? 0) > performance.now();

  return {
    nextMs: () => Math.min(nextStubMs, ...closed.values()),
    reopen: (path) => void closed.delete(path),

    async work() {
      const { hasOpenGaps, hasDueStubs, nextStubInMs } = await store.readBacklog();
      if (hasDueStubs) {
        const stubs = await store.findDueStubs(STUB_BATCH);
        const { byPath, unreadable } = sortStubs(stubs);
        if (unreadable.length > 0) await store.settleStubs(unreadable);
        for (const [path, group] of byPath) await fetchGroup(path, group);
        return stubs.length > 0;
      }
      if (hasOpenGaps) {
        const gaps = await store.findOpenGaps();
        const gap = gaps.find(({ folder }) => folder === null || !isClosed(folder));
        if (gap !== undefined) {
          if (gap.folder === null) await store.spreadGap(gap.id);
          else await listGap(gap, gap.folder);
          return true;
        }
        await store.closeGaps();
      }
      for (const path of closed.keys()) if (!isClosed(path)) closed.delete(path);
      nextStubMs =
        nextStubInMs === null ? Number.POSITIVE_INFINITY : performance.now() + nextStubInMs + SECOND_MS;
      return false;
    },
  };

  async function listGap(gap: FolderGap, path: string): Promise<void> {
    try {
      await withFolder(path, (folder) => listGapPage(connection, folder, gap, tools));
    } catch (error) {
      if (!isOfFolder(error, connection)) throw error;
      closed.set(path, performance.now() + CLOSED_WAIT_MS);
    }
  }

  async function fetchGroup(
    path: string,
    group: readonly { stub: DueStub; uid: number; uidValidity: number }[],
  ): Promise<void> {
    try {
      const { hasMail } = await withFolder(path, (folder) => fetchStubs(connection, folder, group, tools));
      if (hasMail) tools.noteAlive(true);
    } catch (error) {
      if (!isOfFolder(error, connection)) throw error;
      await store.settleStubs(group.map(({ stub }) => afterFailedTry(stub, error.message)));
    }
  }
}

/** A folder cannot be opened or read, as when its index is broken; the connection is as good as before. */
export function isOfFolder(error: unknown, connection: ImapConnection): error is ImapError {
  return (
    error instanceof ImapError &&
    (error.fault === 'folder' || error.fault === 'protocol') &&
    connection.isOpen()
  );
}
