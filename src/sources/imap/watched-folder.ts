import type { Bell } from './bell.ts';
import type { Unseen } from './folder-status.ts';
import type { ImapError } from './imap-error.ts';
import type { Folder } from './read-folder.ts';
import type { SessionStore } from './session-store.ts';

/** A folder of a connection. */
export type WatchedFolder = Folder & {
  /** It may have mail behind its cursor. */
  isDue: boolean;
  /** It was refused, and is left alone until then; by the monotonic clock. */
  parkedUntilMs: number;
  /** Why, until it has been opened again. */
  refusal: string | null;
  /** EXISTS when it was last read. */
  existsSeen: number;
  unseen: Unseen | undefined;
};

/** What one connection watches: the first folder that can be opened idles, the others are asked. */
export type Watch = {
  folders: WatchedFolder[];
  /** Only the first connection of a session fills gaps and fetches stubs. */
  isFirst: boolean;
  /** Rung when there is something to look at. */
  bell: Bell;
  /** There may be gaps to fill and stubs to fetch. */
  hasBacklog: boolean;
  lookNow(): void;
};

const MINUTE_MS = 60_000;
const MAX_REFUSALS = 3;
const REFUSED_WAIT_MS = MINUTE_MS;
const PARKED_MS = 6 * 60 * MINUTE_MS;
/** Without its main folder a source is as good as dead: it is never left alone for longer. */
const MAIN_PARKED_MS = 5 * MINUTE_MS;

export function isOpenable({ parkedUntilMs }: WatchedFolder): boolean {
  return parkedUntilMs <= performance.now();
}

/** It may be locked for a moment: that ends no session. */
export function hasTriesLeft({ cursor }: WatchedFolder): boolean {
  return cursor !== undefined && cursor.refusals < MAX_REFUSALS;
}

/** A folder that cannot be opened or read is left alone for a while. */
export async function refuse(
  watch: Watch,
  folder: WatchedFolder,
  error: ImapError,
  store: SessionStore,
): Promise<void> {
  const refusals = (folder.cursor?.refusals ?? 0) + 1;
  const isMain = watch.isFirst && folder === watch.folders[0];
  // It can be opened: what is wrong there may pass, or be about some of its mails alone.
  const isParked = error.fault === 'folder' && refusals >= MAX_REFUSALS;
  const parkedMs = isMain ? MAIN_PARKED_MS : PARKED_MS;
  folder.parkedUntilMs = performance.now() + (isParked ? parkedMs : REFUSED_WAIT_MS);
  folder.refusal = error.message;
  if (folder.cursor !== undefined) folder.cursor.refusals = refusals;
  const { path } = folder;
  await store.noteRefused({ path, error: error.message, parkForMs: isParked ? parkedMs : null });
}

/** What is wrong with the folder that a source is there for; null of a connection that does not watch it. */
export function refusalOfMain({ isFirst, folders: [main] }: Watch): string | null {
  if (!isFirst || main === undefined || main.refusal === null) return null;
  return `its main folder "${main.path}" is not read: ${main.refusal}`;
}
