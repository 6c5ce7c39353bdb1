import type { Id } from '../../core/ids.ts';
import type { RawMail } from '../../core/raw-mail.ts';
import type { DueStub, StubResult } from '../../core/stub.ts';

/** What the sync keeps, and reads of it. Everything that carries the lease answers whether it was still ours. */
export type SyncStore = {
  keepHistoryPage(page: { messageIds: readonly string[]; from: string; to: string }): Promise<boolean>;
  jumpWithGap(jump: {
    reason: 'history_expired' | 'reset';
    from: string | null;
    to: string;
    since: Date;
  }): Promise<boolean>;
  findOpenGaps(): Promise<OpenGap[]>;
  keepGapPage(gap: OpenGap, page: { messageIds: readonly string[]; next: string | null }): Promise<boolean>;
  restartGap(gapId: Id<'gap'>): Promise<void>;
  /** Notes that it was wanted, too: a look that fails after it does not want it again. */
  requestAudit(stretch: { since: Date; until: Date }): Promise<void>;
  closeGaps(): Promise<void>;
  findDueStubs(limit: number): Promise<DueStub[]>;
  settleStub(result: StubResult): Promise<void>;
};

export type OpenGap = { id: Id<'gap'>; since: Date; until: Date | null; pageToken: string | null };
/** Hands a mail to the one door; resolves once its fate is durable. */
export type TakeMail = (
  mail: RawMail,
  isOneOfMany: boolean,
) => Promise<{ status: 'accepted' | 'duplicate' | 'mailbox_gone' } | { status: 'rejected'; reason: string }>;
