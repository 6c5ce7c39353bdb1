import { createId } from './core/ids.ts';
import type { RawMail } from './core/raw-mail.ts';
import { type Origin, type PrepareTask, prepareMail } from './prepare/prepare-mail.ts';
import type { CommitOutcome } from './store/commit-mails.ts';
import type { MailRow } from './store/mail-row.ts';
import { isRowRefused, sqlStateOf } from './store/unavailable.ts';

/** What became of a mail. All but `rejected` and `mailbox_gone` say that it is durable. */
export type IngestOutcome = CommitOutcome | { status: 'rejected'; reason: string };

/**
 * The one door: every mail of every source comes through here.
 *
 * @throws MailgressError `overloaded` or `store_unavailable`, both retryable: the mail may or may not be stored, and
 * handing it over again is safe.
 *
 * @param isOneOfMany whether others of its push are handed over beside it. Of twins among them the first is then accepted.
 */
export type Ingest = (mail: RawMail, origin: Origin, isOneOfMany?: boolean) => Promise<IngestOutcome>;

/** Read in some 30 ms at the worst, whatever it holds: the parser's time for hostile headers grows with their square. */
const SMALL_BYTES = 16 * 1024;

/**
 * A small mail that comes alone is read where it is; once there are several, a thread reads them while this one goes
 * on with requests and the database.
 *
 * @param prepare makes a mail's row in a thread; see `prepare/preparer.ts`.
 * @param commit stores a row; see `store/commit-mails.ts`.
 */
export function createIngest(
  prepare: (task: PrepareTask) => Promise<MailRow>,
  commit: (row: MailRow) => Promise<CommitOutcome>,
): Ingest {
  let underWay = 0;
  return async (
    mail,
    { id, kind, mailboxId, tenant, address, authenticationServers },
    isOneOfMany = false,
  ) => {
    // Not all that a source is: the rest, its secrets, is nothing to give to a thread.
    const origin = { id, kind, mailboxId, tenant, address, authenticationServers };
    const task = { mail, origin, messageId: createId('msg'), takenAt: new Date() };
    underWay++;
    try {
      const isAlone = underWay === 1 && !isOneOfMany && mail.bytes.length <= SMALL_BYTES;
      return await commit(await (isAlone ? prepareMail : prepare)(task));
    } catch (error) {
      if (!isRowRefused(error)) throw error;
      // It would refuse it again: the source has to keep it as failed and go on. Only the
      // code is told: the database's sentence may quote the mail.
      return { status: 'rejected', reason: `the database refused it (${sqlStateOf(error) ?? 'no code'})` };
    } finally {
      underWay--;
    }
  };
}
