import type { Logger } from 'pino';
import type { GoogleConfig } from '../config.ts';
import { describeError } from '../core/errors.ts';
import type { Id } from '../core/ids.ts';
import type { Keyring } from '../core/sealed.ts';
import type { Ingest } from '../ingest.ts';
import type { Database } from '../store/database.ts';
import type { GroupCommit } from '../store/group-commit.ts';
import { createHintRecorder, GMAIL_CHANNEL, type Hint } from '../store/hints.ts';
import type { ActivityRecorder } from '../store/source-activity.ts';
import { createGmailAccess, type GmailQuota } from './access.ts';
import { createGmailSources, type GmailSources } from './connect.ts';
import { startGmailSync } from './sync.ts';

export type GmailService = {
  sources: GmailSources;
  hints: GroupCommit<Hint, number>;
  /** Has due sources looked at now, here or wherever it is done. */
  wake(): void;
  stop(): Promise<void>;
};

/** All that a running service does with Gmail: hints, the sync unless that is left to others, and its sources. */
export function startGmail(options: {
  database: Database;
  keyring: Keyring;
  ingest: Ingest;
  activity: ActivityRecorder;
  google: GoogleConfig;
  /** False: another process syncs. */
  dispatch: boolean;
  reconnectUrl: (mailboxId: Id<'mbx'>) => string;
  /** Call when an event was appended. */
  onEvent: () => void;
  log: Logger;
  gmailQuota?: GmailQuota | undefined;
  random?: (() => number) | undefined;
  scanIntervalMs?: number | undefined;
  stubWaitsMs?: readonly number[] | undefined;
}): GmailService {
  const { database, google, log } = options;
  const access = createGmailAccess(google, options.gmailQuota);
  const sync = options.dispatch ? startGmailSync({ ...options, access, topic: google.topic }) : undefined;
  if (sync !== undefined) database.listen(GMAIL_CHANNEL, sync.wake);
  // Another process's, if there is none here. A word that is lost costs the second until that one's scan.
  const wake = () =>
    sync === undefined ? void database.hot.notify(GMAIL_CHANNEL, '').catch(() => {}) : sync.wake();
  const hints = createHintRecorder(database.hot, {
    deadlineMs: database.deadlineMs,
    onHints: () => sync?.wake(),
    ...(sync === undefined && { notifyChannel: GMAIL_CHANNEL }),
  });
  return {
    sources: createGmailSources({
      ...options,
      access,
      wake,
      onWatchLeft: (error) =>
        log.warn(
          { reason: describeError(error) },
          'could not end a watch of Gmail; it ends by itself in a week',
        ),
    }),
    hints,
    wake,
    async stop() {
      await sync?.stop();
      await hints.drained();
    },
  };
}
