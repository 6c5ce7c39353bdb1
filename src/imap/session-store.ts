import type { SessionStore } from '../sources/imap/session-store.ts';
import type { Database } from '../store/database.ts';
import { closeGaps, findOpenGaps, keepGapPage, noteGapStrike } from '../store/gap-filling.ts';
import * as folders from '../store/imap-folders.ts';
import type { ClaimedImapSource } from '../store/imap-leases.ts';
import { findReadByOthers } from '../store/read-by-others.ts';
import { findDueStubs, settleStubs } from '../store/stub-queue.ts';

/** What a session keeps, with its lease. */
export function createSessionStore(
  { hot, inTime }: Database,
  { lease, mailboxId }: ClaimedImapSource,
  onEvent: () => void,
): SessionStore {
  const { sourceId } = lease;
  return {
    listCursors: () => inTime(folders.listFolderCursors(hot, sourceId)),
    addFolder: (folder) => inTime(folders.addFolder(hot, lease, folder)),
    keepPage: (page) => inTime(folders.keepFolderPage(hot, lease, page)),
    async jumpFolder(jump) {
      const { isHeld, isTold } = await inTime(folders.jumpFolder(hot, lease, jump));
      if (isTold) onEvent();
      return isHeld;
    },
    noteRead: (folder) => inTime(folders.noteFolderRead(hot, lease, folder)),
    noteRefused: (refusal) => inTime(folders.noteFolderRefused(hot, lease, refusal)),
    noteStrike: (path) => inTime(folders.noteFolderStrike(hot, lease, path)),
    findStoredKeys: (keys) => inTime(folders.findStoredKeys(hot, mailboxId, keys)),
    findReadByOthers: () => inTime(findReadByOthers(hot, mailboxId, sourceId)),
    readBacklog: () => inTime(folders.readBacklog(hot, sourceId)),
    findOpenGaps: () => inTime(findOpenGaps(hot, sourceId)),
    spreadGap: (gapId) => inTime(folders.spreadGap(hot, lease, gapId)),
    keepGapPage: (gap, page, place) => inTime(keepGapPage(hot, lease, gap, page, place)),
    noteGapStrike: (gapId) => inTime(noteGapStrike(hot, gapId)),
    async closeGaps() {
      if (await inTime(closeGaps(hot, sourceId))) onEvent();
    },
    findDueStubs: (limit) => inTime(findDueStubs(hot, lease, limit)),
    settleStubs: (results) => inTime(settleStubs(hot, results)),
  };
}
