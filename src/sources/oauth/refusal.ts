import type * as OpenidClient from 'openid-client';
import { type OAuthProvider, PROVIDERS } from './providers.ts';

/** Why a consent led to nothing. */
export type RefusalReason =
  | 'denied'
  | 'not_allowed'
  | 'client_rejected'
  | 'outdated'
  | 'no_refresh_token'
  | 'mail_not_granted'
  | 'unverified'
  | 'other_account'
  | 'provider_unavailable'
  | 'answer_unreadable';

/** `message`: what went wrong and what to do, in plain words for the person who was asked. */
export type Refusal = { outcome: 'refused'; reason: RefusalReason; message: string };

type Context = { provider: OAuthProvider; clientId: string; redirectUri: string };

/** What a provider says: of the consent (RFC 6749, 4.1.2.1; OpenID Connect 3.1.2.6) or of the exchange (5.2). */
const REASON_BY_ERROR: Readonly<Record<string, RefusalReason>> = {
  access_denied: 'denied',
  consent_required: 'denied',
  interaction_required: 'denied',
  login_required: 'denied',
  // Google: the administrator of the Workspace has not allowed the client, or it is for another organisation alone.
  admin_policy_enforced: 'not_allowed',
  org_internal: 'not_allowed',
  invalid_client: 'client_rejected',
  unauthorized_client: 'client_rejected',
  redirect_uri_mismatch: 'client_rejected',
  invalid_scope: 'client_rejected',
  invalid_grant: 'outdated',
  server_error: 'provider_unavailable',
  temporarily_unavailable: 'provider_unavailable',
};

/** @returns what the error of a consent or its exchange means; undefined for one that is none of the provider's. */
export function explainFailure(
  openid: typeof OpenidClient,
  error: unknown,
  context: Context,
): Refusal | undefined {
  const { title } = PROVIDERS[context.provider];
  if (error instanceof openid.AuthorizationResponseError || error instanceof openid.ResponseBodyError) {
    const said = `${title} says "${shorten(error.error)}"${numberIn(error.error_description)}`;
    const reason = REASON_BY_ERROR[error.error] ?? 'answer_unreadable';
    return refuse(reason, `${said}. ${adviceFor(reason, error.error, context)}`);
  }
  if (error instanceof openid.WWWAuthenticateChallengeError) {
    return refuse(
      'client_rejected',
      `${title} does not accept the client. ${adviceFor('client_rejected', 'invalid_client', context)}`,
    );
  }
  if (isOutOfReach(openid, error)) {
    return refuse('provider_unavailable', `${title} does not answer. ${AGAIN}`);
  }
  if (error instanceof openid.ClientError) {
    // Its `cause` may quote the token: the code alone says what it was.
    const code = error.code === undefined ? '' : ` (${error.code})`;
    return refuse(
      'answer_unreadable',
      `The answer of ${title} is not one to this consent${code}. ${adviceFor('answer_unreadable', '', context)}`,
    );
  }
  return undefined;
}

export function refuse(reason: RefusalReason, message: string): Refusal {
  return { outcome: 'refused', reason, message };
}

const AGAIN = 'Open the link again in a while.';

function adviceFor(
  reason: RefusalReason,
  error: string,
  { provider, clientId, redirectUri }: Context,
): string {
  const { title, clientVariables } = PROVIDERS[provider];
  switch (reason) {
    case 'denied':
      return 'Nothing was connected. To connect the mailbox, open the link again and allow the access.';
    case 'not_allowed':
      return `The administrator of the account's organisation has to allow the client ${clientId} first.`;
    case 'client_rejected':
      if (error === 'redirect_uri_mismatch') {
        return `Whoever runs this service has to register ${redirectUri} as a redirect URI of the client ${clientId}.`;
      }
      return `Whoever runs this service has to check ${clientVariables.join(' and ')} against what ${title} shows for the client.`;
    case 'outdated':
      return 'The consent was used before, or took too long. Open the link again.';
    case 'provider_unavailable':
      return AGAIN;
    default:
      return 'Open the link again; if it stays so, tell whoever runs this service.';
  }
}

/** As RFC 6749 has them: visible ASCII. Anything longer is no code. */
function shorten(error: string): string {
  return error.replace(/[^\x20-\x7e]/g, '?').slice(0, 60);
}

/** Microsoft's number for what happened, which its documentation is found by. The sentence is left out: it may say more. */
function numberIn(description: string | undefined): string {
  const [number] = /AADSTS\d{1,10}/.exec(description ?? '') ?? [];
  return number === undefined ? '' : ` (${number})`;
}

/** Nobody listens, a name that does not resolve, too slow, or 5xx. */
function isOutOfReach(openid: typeof OpenidClient, error: unknown): boolean {
  // What fetch throws for every fault of the network; its other TypeErrors are faults of ours.
  if (error instanceof TypeError) return error.message === 'fetch failed';
  if (!(error instanceof openid.ClientError)) return false;
  if (error.code === 'OAUTH_TIMEOUT') return true;
  // Not by instanceof: the HTTP server puts a Response of its own in the place of the one that fetch answers with.
  const { cause } = error;
  const hasStatus = typeof cause === 'object' && cause !== null && 'status' in cause;
  return hasStatus && typeof cause.status === 'number' && cause.status >= 500;
}
