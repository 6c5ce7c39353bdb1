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
import type { Finding } from './report.ts';

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
  /** Without one nothing serves the API from here. */
  hasAdminToken: boolean;
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
  /** For tests: how long the push of a round trip is waited for. */
  pushPatienceMs?: number | undefined;
  sources: readonly SourceFacts[];
};

/**
 * What came of the doctor's last login to a source, kept for a while: servers lock accounts that are tried too often, so who
 * asks again meanwhile is told the same.
 */
export type LoginMemory = {
  last(id: Id<'src'>): Finding | undefined;
  keep(id: Id<'src'>, finding: Finding): void;
};

/** Three logins a minute, whoever asks and how often. */
const KEPT_MS = 20_000;

export function createLoginMemory(nowMs: () => number = () => performance.now()): LoginMemory {
  const kept = new Map<string, { sinceMs: number; finding: Finding }>();
  const isOver = ({ sinceMs }: { sinceMs: number }) => nowMs() - sinceMs >= KEPT_MS;
  return {
    last(id) {
      const one = kept.get(id);
      return one === undefined || isOver(one) ? undefined : one.finding;
    },
    keep(id, finding) {
      for (const [other, one] of kept) if (isOver(one)) kept.delete(other);
      // From when it was begun on.
      kept.set(id, { sinceMs: kept.get(id)?.sinceMs ?? nowMs(), finding });
    },
  };
}
