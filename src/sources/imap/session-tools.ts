import type { ImapProvider } from '../../core/imap-providers.ts';
import type { ImapFolderWish, ImapTuning } from '../../core/imap-settings.ts';
import type { ImapConnection } from './connection.ts';
import type { Folder, FolderTools } from './read-folder.ts';

export type SessionSettings = {
  provider: ImapProvider;
  folders: readonly ImapFolderWish[] | undefined;
  tuning: ImapTuning;
  /** Connections that the source may have: one, and one more for each folder that is to idle by itself. */
  connectionBudget: number;
  idleRestartMs: number;
  /** It slept until now, while others read the mailbox. */
  isWakingUp: boolean;
};

/** What a session is given. */
export type GivenTools = Omit<SessionTools, 'onBacklog' | 'lookForFolders' | 'wakesFrom' | 'isReadByOthers'>;

export type SessionTools = FolderTools & {
  /** @param signal ends the attempt. */
  open(signal: AbortSignal): Promise<ImapConnection>;
  /** @param reason why it is not as good as its state says. */
  note(
    state: 'authenticated' | 'syncing' | 'idle' | 'polling',
    mode: 'idle' | 'poll' | null,
    reason?: string | null,
  ): void;
  /** Others have read this folder until now: what they have stored is not listed. */
  isReadByOthers(folder: Folder): boolean;
  /** There may be gaps to fill or stubs to fetch; for the connection of the session that does it. */
  onBacklog(): void;
  /** From time to time: ends the session in order when there are folders that it does not watch, so that the next one does. */
  lookForFolders(connection: ImapConnection): Promise<void>;
  /** Called with what has the session look at everything now. */
  onReady(lookNow: () => void): void;
  /** What passes by itself, such as a store that is away: the connection is kept, and the work is tried again. */
  isPassing(error: unknown): boolean;
  random: () => number;
  /** For tests: how often the server is asked whether it is there. */
  probeMs?: number | undefined;
};
