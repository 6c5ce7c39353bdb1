import { MailgressError } from '../../core/errors.ts';
import { isSameAccount } from './account.ts';
import { type OAuthClient, openClient, requireClient } from './client.ts';
import { isMailGranted, type OAuthProvider, type OAuthSettings, PROVIDERS } from './providers.ts';
import { explainFailure, type Refusal, refuse } from './refusal.ts';

/**
 * A consent takes two steps: `begin` gives the URL that a person opens and three secrets to keep meanwhile; `finish`
 * takes what the provider sent the browser back with. The caller keeps the secrets where only that browser, or this
 * process, can bring them.
 */
export type Consents = {
  /** @throws MailgressError `oauth_not_configured`, naming the variables to set. */
  requireConfigured(provider: OAuthProvider): void;
  /**
   * @param redirectUri where the provider sends the browser back to, as it is registered there.
   * @param address the mailbox's, so that the right account is offered.
   * @throws MailgressError `oauth_not_configured`, `provider_unavailable`.
   */
  begin(provider: OAuthProvider, to: { redirectUri: string; address: string }): Promise<BegunConsent>;
  /**
   * Exchanges the code. The provider takes it once.
   *
   * @param callbackUrl the redirect URI with the parameters that came. Its `state` has to be the begun consent's:
   *   the caller has seen to that.
   * @param address the mailbox's, which has to be the account's.
   */
  finish(
    provider: OAuthProvider,
    callbackUrl: URL,
    kept: { secrets: ConsentSecrets; address: string },
  ): Promise<ConsentOutcome>;
};

/** `state` ties the answer to the browser, `verifier` (PKCE, RFC 7636) the code, `nonce` the id token to the request. */
export type ConsentSecrets = { state: string; verifier: string; nonce: string };
export type BegunConsent = { url: URL; secrets: ConsentSecrets };

/** `account`: the address that the provider calls it by. */
export type ConsentOutcome = { outcome: 'granted'; refreshToken: string; account: string } | Refusal;

export function createConsents(settings: OAuthSettings): Consents {
  const clients = new Map<OAuthProvider, Promise<OAuthClient>>();
  /** Made once. What failed is tried anew at the next consent. */
  const clientOf = (provider: OAuthProvider): Promise<OAuthClient> => {
    const known = clients.get(provider);
    if (known !== undefined) return known;
    const opening = openClient(settings, provider);
    clients.set(provider, opening);
    opening.catch(() => clients.delete(provider));
    return opening;
  };

  return {
    requireConfigured(provider) {
      requireClient(settings, provider);
    },

    async begin(provider, { redirectUri, address }) {
      requireClient(settings, provider);
      const { openid, configuration } = await clientOf(provider).catch((cause) =>
        unreachable(provider, cause),
      );
      const secrets = {
        state: openid.randomState(),
        verifier: openid.randomPKCECodeVerifier(),
        nonce: openid.randomNonce(),
      };
      const { scope, parameters } = PROVIDERS[provider];
      const url = openid.buildAuthorizationUrl(configuration, {
        ...parameters,
        scope,
        redirect_uri: redirectUri,
        state: secrets.state,
        nonce: secrets.nonce,
        code_challenge: await openid.calculatePKCECodeChallenge(secrets.verifier),
        code_challenge_method: 'S256',
        login_hint: address,
      });
      return { url, secrets };
    },

    async finish(provider, callbackUrl, { secrets, address }) {
      const { id: clientId } = requireClient(settings, provider);
      const { openid, configuration } = await clientOf(provider).catch((cause) =>
        unreachable(provider, cause),
      );
      try {
        const tokens = await openid.authorizationCodeGrant(configuration, callbackUrl, {
          expectedState: secrets.state,
          expectedNonce: secrets.nonce,
          pkceCodeVerifier: secrets.verifier,
          idTokenExpected: true,
        });
        const { refresh_token: refreshToken, scope } = tokens;
        return judge(provider, { refreshToken, scope, claims: tokens.claims(), address });
      } catch (error) {
        const redirectUri = `${callbackUrl.origin}${callbackUrl.pathname}`;
        const refusal = explainFailure(openid, error, { provider, clientId, redirectUri });
        if (refusal === undefined) throw error;
        return refusal;
      }
    },
  };
}

/** What was granted, by whom: enough to read this mailbox, or why not. */
function judge(
  provider: OAuthProvider,
  granted: { refreshToken: string | undefined; scope: string | undefined; claims: unknown; address: string },
): ConsentOutcome {
  const { refreshToken, claims, address } = granted;
  const { title, scope, mailScope, revokeAt, provenAddresses } = PROVIDERS[provider];
  // Left out, it is what was asked for (RFC 6749, 5.1).
  if (!isMailGranted(PROVIDERS[provider], granted.scope ?? scope)) {
    return refuse(
      'mail_not_granted',
      `The access to mail was not granted. Open the link again, and leave "${mailScope.shownAs}" ticked.`,
    );
  }
  const addresses = provenAddresses(claims);
  const [account] = addresses;
  if (account === undefined) {
    return refuse(
      'unverified',
      `${title} names no verified address for this account. Verify the address of the account there, then open the link again.`,
    );
  }
  const same = addresses.find((one) => isSameAccount(address, one));
  if (same === undefined) {
    return refuse(
      'other_account',
      `This link is for the mailbox ${address}, and you signed in as ${account}. Open it again and choose the account of ${address}.`,
    );
  }
  if (refreshToken === undefined) {
    return refuse(
      'no_refresh_token',
      `${title} gave access for an hour only, without a refresh token. Remove the access of this app at ${revokeAt}, then open the link again.`,
    );
  }
  return { outcome: 'granted', refreshToken, account: same };
}

function unreachable(provider: OAuthProvider, cause: unknown): never {
  if (cause instanceof MailgressError) throw cause;
  const message = `${PROVIDERS[provider].title} cannot be asked for consent now: it does not say where. Try again in a while`;
  throw new MailgressError('provider_unavailable', message, { retryable: true, cause });
}
