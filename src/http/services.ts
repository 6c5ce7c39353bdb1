import type { Logger } from 'pino';
import type { Keyring } from '../core/sealed.ts';
import type { Egress } from '../deliver/egress.ts';
import type { GmailSources } from '../gmail/connect.ts';
import type { Ingest } from '../ingest.ts';
import type { VerifyPushToken } from '../sources/gmail/push-token.ts';
import type { Database } from '../store/database.ts';
import type { GroupCommit } from '../store/group-commit.ts';
import type { Hint } from '../store/hints.ts';
import type { IngressSources } from '../store/ingress-sources.ts';
import type { ActivityRecorder } from '../store/source-activity.ts';

/** What the routes work with. */
export type Services = {
  database: Database;
  keyring: Keyring;
  ingest: Ingest;
  ingressSources: IngressSources;
  activity: ActivityRecorder;
  /** Undefined: pushes of Pub/Sub are not configured. */
  pubsub: Pubsub | undefined;
  egress: Egress;
  gmail: GmailSources;
  /** Call after a change that made a source due. */
  wakeSync: () => void;
  /** Call after a commit that made deliveries due. */
  wakeDispatcher: () => void;
  adminToken: string;
  bodyLimitBytes: number;
  /** The base URL others reach us under, without a trailing slash. */
  publicUrl: () => string;
  version: string;
  log: Logger;
};

/** What takes a push of Gmail. */
export type Pubsub = { verifyToken: VerifyPushToken; hints: GroupCommit<Hint, number> };
