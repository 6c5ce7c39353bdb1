import type { Logger } from 'pino';
import type { Id } from '../core/ids.ts';
import type { Source } from '../core/resources.ts';
import type { Keyring } from '../core/sealed.ts';
import type { Egress } from '../deliver/egress.ts';
import type { FeedHub } from '../deliver/feed-hub.ts';
import type { Report } from '../doctor/report.ts';
import type { GmailSources } from '../gmail/connect.ts';
import type { ImapSources } from '../imap/sources.ts';
import type { Ingest } from '../ingest.ts';
import type { Metrics } from '../ops/metrics.ts';
import type { ProcessMetrics } from '../ops/process-metrics.ts';
import type { VerifyPushToken } from '../sources/gmail/push-token.ts';
import type { Consents } from '../sources/oauth/consent.ts';
import type { OAuthProvider } from '../sources/oauth/providers.ts';
import type { Database } from '../store/database.ts';
import type { GroupCommit } from '../store/group-commit.ts';
import type { Hint } from '../store/hints.ts';
import type { IngressSources } from '../store/ingress-sources.ts';
import type { ActivityRecorder } from '../store/source-activity.ts';
import type { Identify } from './auth.ts';
import type { Bodies } from './bodies.ts';
import type { Gate } from './gate.ts';
import type { SourceRate } from './source-rate.ts';

/** What the routes work with. */
export type Services = {
  database: Database;
  keyring: Keyring;
  ingest: Ingest;
  ingressSources: IngressSources;
  activity: ActivityRecorder;
  /** What keeps the ways in from taking more than the process and its database can. */
  gate: Gate;
  sourceRate: SourceRate;
  bodies: Bodies;
  /** Undefined: pushes of Pub/Sub are not configured. */
  pubsub: Pubsub | undefined;
  egress: Egress;
  /** Whoever follows the log. */
  feed: FeedHub;
  gmail: GmailSources;
  imap: ImapSources;
  /** Call after a change that made a source due. */
  wakeSync: () => void;
  /** Call after a commit that made deliveries due. */
  wakeDispatcher: () => void;
  /** Takes an attachment out of a mail, which is given away; undefined if there is none. */
  attachments: {
    read(mail: Uint8Array, index: number, signal: AbortSignal): Promise<Uint8Array | undefined>;
  };
  /** For tests: after how long a reader that takes nothing is cut off, and one that takes little. */
  bodyPatienceMs?: number | undefined;
  bodyLongestMs?: number | undefined;
  consents: Consents;
  connectSource: ConnectSource;
  identify: Identify;
  /** Looks at everything that can be wrong. */
  doctor: () => Promise<Report>;
  /** A key for `/metrics` alone. */
  metricsToken: string | undefined;
  metrics: Metrics;
  processMetrics: ProcessMetrics;
  bodyLimitBytes: number;
  /** The base URL others reach us under, without a trailing slash. */
  publicUrl: () => string;
  version: string;
  log: Logger;
};

/** What takes a push of Gmail. */
export type Pubsub = { verifyToken: VerifyPushToken; hints: GroupCommit<Hint, number> };
/**
 * Makes the source that reads a mailbox by a person's consent, or gives the one there is its new credentials and
 * starts it.
 *
 * @param account the address that the provider calls the account by.
 * @returns undefined if there is no such mailbox.
 */
export type ConnectSource = (
  mailboxId: Id<'mbx'>,
  provider: OAuthProvider,
  refreshToken: string,
  account: string,
) => Promise<Source | undefined>;
