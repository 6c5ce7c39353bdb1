import type { ImapFolderWish } from '../../core/imap-settings.ts';
import { type Bell, createBell } from './bell.ts';
import { chooseFolders, describeMissing, type WantedFolder } from './choose-folders.ts';
import type { ImapConnection } from './connection.ts';
import { ImapError } from './imap-error.ts';
import { listFolders } from './list-folders.ts';
import type { Folder } from './read-folder.ts';
import type { GivenTools, SessionSettings, SessionTools } from './session-tools.ts';
import { watchFolders } from './watch.ts';
import type { Watch } from './watched-folder.ts';

/*
 * A source's states, as its session goes through them:
 *
 *   disconnected   stopped, or free and nobody has taken it yet
 *   connecting     a worker has it: TCP, TLS, the greeting and the login are one step
 *                  (`connected` and `authenticating` are within it)
 *   authenticated  logged in; its folders are being looked up
 *   syncing        reading what came since the cursors
 *   idle           all is read; the server tells what comes
 *   polling        all is read; the server has no IDLE, and is asked
 *   backoff        a failure; free until its next try is due
 *   error          the same, for so long that it has been told
 *   standby        another source reads the mailbox
 *   needs_reauth, disabled   a person has to do something
 *
 * From any of them a stop leads to `disconnected`. A session never mends a connection: it ends, its source is given back
 * with the time of its next try, and the next session begins with new credentials and a look at every folder.
 */

/** What is under way when a session is told to end may take so long; then LOGOUT has its own time. */
const ABORT_PATIENCE_MS = 3000;

/**
 * One session: connects, reads what is there, and goes on reading what comes, until it is told to end.
 *
 * @throws ImapError when a connection ends or cannot be made, LeaseLost, and faults of ours.
 */
export async function runSession(settings: SessionSettings, given: GivenTools): Promise<void> {
  const { signal } = given;
  const connections: ImapConnection[] = [];
  const bells: Bell[] = [];
  let timer: NodeJS.Timeout | undefined;
  const onAbort = () => {
    for (const bell of bells) bell.ring();
    // A command that takes too long is not waited for: its connection is closed, and whoever waits learns that.
    timer = setTimeout(() => {
      for (const connection of connections) connection.close();
    }, ABORT_PATIENCE_MS);
  };
  signal.addEventListener('abort', onAbort);
  try {
    const open = async (wanted: AbortSignal) => {
      const connection = await given.open(wanted);
      connections.push(connection);
      wanted.throwIfAborted();
      return connection;
    };
    const first = await open(signal);
    given.note('authenticated', null);
    const folders = await findFolders(first, settings, given);
    const watches = planWatches(folders, settings);
    const onBacklog = () => {
      const [watch] = watches;
      if (watch === undefined || watch.hasBacklog) return;
      watch.hasBacklog = true;
      watch.bell.ring();
    };
    const over = new AbortController();
    const until = AbortSignal.any([signal, over.signal]);
    const endAll = () => {
      over.abort();
      for (const { bell } of watches) bell.ring();
    };
    const lookForFolders = async (connection: ImapConnection) => {
      const now = await findFolders(connection, settings, given);
      const isNew = ({ path }: Folder) => !folders.some((folder) => folder.path === path);
      if (now.some(isNew)) endAll();
    };
    // Asked before any is read: what comes from one folder would have the next go on behind it.
    const slept = settings.isWakingUp ? await given.store.findReadByOthers() : undefined;
    const wakesFrom = slept?.lastAt ?? given.newFolderSince;
    const isReadByOthers = ({ path }: Folder) =>
      slept !== undefined && (slept.paths === null || slept.paths.includes(path));
    // Without its main folder a source is nothing that a standby may rely on, whatever comes from the others.
    const noteAlive = (hasMail: boolean) => {
      if (!watches[0]?.folders[0]?.refusal) given.noteAlive(hasMail);
    };
    const tools: SessionTools = {
      ...given,
      noteAlive,
      onBacklog,
      lookForFolders,
      wakesFrom,
      isReadByOthers,
    };
    for (const watch of watches) bells.push(watch.bell);
    tools.onReady(() => {
      for (const { bell, lookNow } of watches) {
        lookNow();
        bell.ring();
      }
    });
    const failures: unknown[] = [];
    const running = watches.map(async (watch, at) => {
      try {
        await watchFolders(at === 0 ? first : await open(until), watch, settings, {
          ...tools,
          // The first, with the main folder, speaks for the source.
          note: at === 0 ? tools.note : () => {},
          signal: until,
        });
      } catch (error) {
        // One connection that fails ends the session: the next one has them all. What the others meet then follows from that.
        if (until.aborted) return;
        failures.push(error);
        endAll();
        for (const connection of connections) connection.close();
      }
    });
    await Promise.all(running);
    if (failures.length > 0) throw failures[0];
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    signal.removeEventListener('abort', onAbort);
    clearTimeout(timer);
    await Promise.all(
      connections.map((connection) => (signal.aborted ? connection.end() : connection.close())),
    );
  }
}

/**
 * The folders to watch, the main one first, each with its cursor. What LIST does not show but has been read before stays: an
 * empty or failing LIST never means that all folders are gone, and one that is gone shows when it is opened.
 */
async function findFolders(
  connection: ImapConnection,
  { provider, folders: wanted }: SessionSettings,
  { store }: Pick<SessionTools, 'store'>,
): Promise<(Folder & { isIdling: boolean })[]> {
  const cursors = await store.listCursors();
  const listed = await listFolders(connection).catch((error) => {
    if (!connection.isOpen()) throw error;
    return [];
  });
  const { folders: chosen, missing } = chooseFolders(listed, wanted, provider);
  const lost =
    chosen.length > 0
      ? missing.flatMap((wish) => cursors.filter((cursor) => isWished(wish, cursor)))
      : cursors.filter((cursor) => wanted?.some((wish) => isWished(wish, cursor)) ?? true);
  // A LIST without the main folder makes no other one the main one.
  const isMain = provider === 'gmail' ? [isAll, isInbox] : [isInbox, isAll];
  const lostMain = isMain.flatMap((isIt) => lost.filter(isIt));
  const known = [...lostMain, ...chosen, ...lost.filter((one) => !lostMain.includes(one))];
  if (known.length === 0 && listed.length > 0) {
    throw new ImapError('folder', `the account has no folder ${describeMissing(missing, listed)}`);
  }
  const watched = known.length > 0 ? known : [{ path: 'INBOX', role: null }];
  const idling = new Set(
    wanted?.filter(({ idle }) => idle === true).flatMap((wish) => pathsOf(wish, watched)) ?? [],
  );
  return watched.map(({ path, role }) => ({
    path,
    role,
    cursor: cursors.find((cursor) => cursor.path === path),
    notedAt: undefined,
    isIdling: idling.has(path),
  }));
}

function pathsOf(wish: ImapFolderWish, watched: readonly { path: string; role: string | null }[]): string[] {
  return watched.filter((folder) => isWished(wish, folder)).map(({ path }) => path);
}

function isWished(wish: WantedFolder, { path, role }: { path: string; role: string | null }): boolean {
  if ('path' in wish) return isInbox(wish) ? isInbox({ path }) : path === wish.path;
  return role?.toLowerCase() === `\\${wish.role}`;
}

function isInbox({ path }: { path: string }): boolean {
  return path.toUpperCase() === 'INBOX';
}

function isAll({ role }: { role: string | null }): boolean {
  return role === '\\All';
}

/** One connection for the main folder and those that are asked; one more for each that idles, as far as the budget goes. */
function planWatches(
  folders: readonly (Folder & { isIdling: boolean })[],
  { connectionBudget }: SessionSettings,
): Watch[] {
  const [main, ...others] = folders;
  if (main === undefined) throw new ImapError('internal', 'a session without a folder');
  const alone = others.filter(({ isIdling }) => isIdling).slice(0, connectionBudget - 1);
  const asked = others.filter((folder) => !alone.includes(folder));
  return [[main, ...asked], ...alone.map((folder) => [folder])].map((ofOne, at) =>
    createWatch(ofOne, at === 0),
  );
}

function createWatch(folders: readonly Folder[], isFirst: boolean): Watch {
  const watch: Watch = {
    folders: folders.map((folder) => ({
      ...folder,
      isDue: true,
      parkedUntilMs: 0,
      refusal: null,
      existsSeen: 0,
      unseen: undefined,
    })),
    isFirst,
    bell: createBell(),
    hasBacklog: isFirst,
    lookNow() {
      for (const folder of watch.folders) folder.isDue = true;
      watch.hasBacklog = isFirst;
    },
  };
  return watch;
}
