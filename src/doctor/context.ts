import type { GoogleConfig } from '../config.ts';
import type { Id } from '../core/ids.ts';
import type { Keyring } from '../core/sealed.ts';
import type { Egress } from '../deliver/egress.ts';
import type { GmailAccess } from '../gmail/access.ts';
import type { AccessOptions } from '../imap/access.ts';
import type { ConnectTools } from '../sources/imap/connection.ts';
import type { Database } from '../store/database.ts';
import type { SourceFacts } from '../store/source-facts.ts';
import type { Secrets } from './hide-secrets.ts';

/** What the doctor works with: the parts of a service, and its settings as far as they are looked at. */
export type DoctorTools = {
  database: Database;
  databaseUrl: string;
  keyring: Keyring;
  egress: Egress;
  gmail: GmailAccess;
  imap: { access: AccessOptions; connect: ConnectTools };
  settings: DoctorSettings;
  /** Of this package, which the Apps Script is held against. */
  version: string;
  logins: LoginMemory;
};

export type DoctorSettings = {
  /** Under which others reach the service, without a trailing slash. */
  publicUrl: string;
  isEmbedded: boolean;
  secretKeys: readonly string[];
  egressAllow: readonly string[];
  pubsub: { audience: string; serviceAccount: string } | undefined;
  google: GoogleConfig;
  /** Beside those above, what may stand in no line. */
  secrets: readonly (string | undefined)[];
};

/** One run. */
export type DoctorContext = DoctorTools & {
  secrets: Secrets;
  /** This one alone, also if a login may do harm. */
  only: Id<'src'> | undefined;
  /** Whether endpoints are sent a test event. */
  sendTests: boolean;
  sources: readonly SourceFacts[];
};

/** When the doctor of this process last logged in to a source: servers lock accounts that are tried too often. */
export type LoginMemory = {
  /** Whether it may now; then that counts as a login. */
  take(id: Id<'src'>): boolean;
};

/** Three a minute, whoever asks and how often. */
const LOGIN_EACH_MS = 20_000;

export function createLoginMemory(nowMs: () => number = () => performance.now()): LoginMemory {
  const lastMs = new Map<string, number>();
  return {
    take(id) {
      for (const [other, at] of lastMs) if (nowMs() - at >= LOGIN_EACH_MS) lastMs.delete(other);
      if (lastMs.has(id)) return false;
      lastMs.set(id, nowMs());
      return true;
    },
  };
}
