import { createHash } from 'node:crypto';
import type { GoogleConfig } from '../config.ts';
import type { Credentials } from '../core/credentials.ts';
import { MailgressError } from '../core/errors.ts';
import { createGmail, type Gmail } from '../sources/gmail/client.ts';
import { GmailError } from '../sources/gmail/gmail-error.ts';
import { type Bucket, createBucket } from '../sources/gmail/quota.ts';
import {
  type AccessTokens,
  createAccessTokens,
  type Grant,
  GrantError,
} from '../sources/oauth/access-tokens.ts';

/** Gmail's limits since May 2026, in units a minute; see `sources/gmail/quota.ts` for what a call costs. */
export type GmailQuota = { unitsPerMinute: number; projectUnitsPerMinute: number };

export const GMAIL_QUOTA: GmailQuota = { unitsPerMinute: 6000, projectUnitsPerMinute: 1_200_000 };

/** Opens the Gmail of an account. Tokens and quota are shared by all who ask for one account. */
export type GmailAccess = {
  /**
   * @param account the address, for the quota and for the service account to speak for.
   * @throws MailgressError `oauth_not_configured` when what these credentials need is not set.
   */
  open(account: string, credentials: Credentials): Gmail;
};

const READ_SCOPE = 'https://www.googleapis.com/auth/gmail.readonly';
/** What may be taken at once and what flows in: less than a minute's limit together, since timers fire late. */
const BURST_SHARE = 0.2;
const FLOW_SHARE = 0.75;
const MAX_REMEMBERED = 10_000;

export function createGmailAccess(google: GoogleConfig, quota: GmailQuota = GMAIL_QUOTA): GmailAccess {
  const project = bucketOf(quota.projectUnitsPerMinute);
  const buckets = new Remembered<Bucket>();
  const tokens = new Remembered<AccessTokens>();

  return {
    open(account, credentials) {
      const grant = grantOf(google, account, credentials);
      const own = tokens.get(keyOf(grant), () => createAccessTokens(google.tokenUrl, grant));
      return createGmail({
        apiUrl: google.apiUrl,
        token: (signal) => own.get(signal).catch(throwGmailError),
        forgetToken: (token) => own.forget(token),
        buckets: [buckets.get(account.toLowerCase(), () => bucketOf(quota.unitsPerMinute)), project],
      });
    },
  };
}

function bucketOf(limit: number): Bucket {
  return createBucket({ unitsPerMinute: limit * FLOW_SHARE, burst: limit * BURST_SHARE });
}

/** The last so many; the oldest make room. */
class Remembered<T> {
  readonly #byKey = new Map<string, T>();

  get(key: string, make: () => T): T {
    const known = this.#byKey.get(key) ?? make();
    this.#byKey.delete(key);
    this.#byKey.set(key, known);
    const [oldest] = this.#byKey.keys();
    if (this.#byKey.size > MAX_REMEMBERED && oldest !== undefined) this.#byKey.delete(oldest);
    return known;
  }
}

function grantOf(google: GoogleConfig, account: string, credentials: Credentials): Grant {
  if (credentials.type === 'oauth') {
    if (google.client === undefined) throw notConfigured('GOOGLE_CLIENT_ID and GOOGLE_CLIENT_SECRET');
    return { kind: 'refresh-token', refreshToken: credentials.refreshToken, client: google.client };
  }
  if (google.serviceAccount === undefined) throw notConfigured('GOOGLE_SERVICE_ACCOUNT_JSON');
  return { kind: 'service-account', ...google.serviceAccount, subject: account, scope: READ_SCOPE };
}

function notConfigured(variables: string): MailgressError {
  return new MailgressError('oauth_not_configured', `To read Gmail this way the service needs ${variables}`);
}

/** A refresh token is no key of a map: what is kept in memory for long is its hash. */
function keyOf(grant: Grant): string {
  if (grant.kind === 'service-account') return `service-account ${grant.subject.toLowerCase()}`;
  return createHash('sha256').update(grant.refreshToken).digest('base64');
}

const ADVICE =
  'check the OAuth client in GOOGLE_CLIENT_ID and GOOGLE_CLIENT_SECRET, or that the service account acts domain-wide with the scope gmail.readonly';
const FAULTS = {
  consent_gone: 'needs_reauth',
  not_allowed: 'not_allowed',
  unavailable: 'unavailable',
} as const;

function throwGmailError(error: unknown): never {
  if (error instanceof MailgressError) throw new GmailError('not_allowed', error.message);
  if (!(error instanceof GrantError)) throw error;
  const advice = error.kind === 'not_allowed' ? `; ${ADVICE}` : '';
  throw new GmailError(FAULTS[error.kind], `Google gives no access: ${error.message}${advice}`);
}
