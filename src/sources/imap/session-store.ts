import type { Id } from '../../core/ids.ts';
import type { FolderCursor, FolderJump, FolderPage, NewFolder } from '../../core/imap-folder.ts';
import type { RawMail } from '../../core/raw-mail.ts';
import type { DueStub, StubResult } from '../../core/stub.ts';

export type FolderGap = {
  id: Id<'gap'>;
  /** Null: all of them. */
  folder: string | null;
  since: Date;
  until: Date | null;
  /** The last UID that was listed. */
  pageToken: string | null;
  /** Connections that ended while its next page was listed. */
  strikes: number;
};

/** What a session keeps, and reads of it. Everything that carries the lease answers whether it was still ours. */
export type SessionStore = {
  listCursors(): Promise<FolderCursor[]>;
  addFolder(folder: NewFolder & { since: Date | null }): Promise<boolean>;
  keepPage(page: FolderPage): Promise<boolean>;
  jumpFolder(jump: FolderJump): Promise<boolean>;
  noteRead(folder: { path: string; modSeq: string | null }): Promise<void>;
  noteRefused(refusal: { path: string; error: string; parkForMs: number | null }): Promise<void>;
  noteStrike(path: string): Promise<void>;
  /** As hex, those of the keys under which a mail of the mailbox has been stored. */
  findStoredKeys(keys: readonly Uint8Array[]): Promise<Set<string>>;
  /** When they stored the newest mail (null: none), and the folders that they read (null: all). */
  findReadByOthers(): Promise<{ lastAt: Date | null; paths: readonly string[] | null }>;
  readBacklog(): Promise<{ hasOpenGaps: boolean; hasDueStubs: boolean; nextStubInMs: number | null }>;
  findOpenGaps(): Promise<FolderGap[]>;
  spreadGap(gapId: Id<'gap'>): Promise<void>;
  keepGapPage(
    gap: FolderGap,
    page: {
      stubs: readonly { providerId: string; key: Uint8Array | null }[];
      listed: number;
      next: string | null;
    },
    /** The folder as it was listed: under other UIDs by now, nothing is kept. */
    place: { path: string; uidValidity: number },
  ): Promise<boolean>;
  noteGapStrike(gapId: Id<'gap'>): Promise<void>;
  closeGaps(): Promise<void>;
  findDueStubs(limit: number): Promise<DueStub[]>;
  settleStubs(results: readonly StubResult[]): Promise<void>;
};

/** Hands a mail to the one door; resolves once its fate is durable. */
export type TakeMail = (
  mail: RawMail,
  isOneOfMany: boolean,
) => Promise<{ status: 'accepted' | 'duplicate' | 'mailbox_gone' } | { status: 'rejected'; reason: string }>;

/** The lease is another's: what this session would still write counts no more. */
export class LeaseLost extends Error {
  constructor() {
    super('another process took over this source');
    this.name = 'LeaseLost';
  }
}

/** @throws LeaseLost */
export function held(isHeld: boolean): void {
  if (!isHeld) throw new LeaseLost();
}
