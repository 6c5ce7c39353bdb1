import type * as OpenidClient from 'openid-client';
import { MailgressError } from '../../core/errors.ts';
import { type OAuthProvider, type OAuthSettings, PROVIDERS } from './providers.ts';

const GOOGLE_ISSUER = 'https://accounts.google.com';
const GOOGLE: Partial<OpenidClient.ServerMetadata> & { issuer: string } = {
  issuer: GOOGLE_ISSUER,
  authorization_endpoint: `${GOOGLE_ISSUER}/o/oauth2/v2/auth`,
};
const MICROSOFT_ORIGIN = 'https://login.microsoftonline.com';

/** A person waits at the other end. */
const TIMEOUT_S = 15;

/** What a consent needs: the library, and what it knows of provider and client. */
export type OAuthClient = { openid: typeof OpenidClient; configuration: OpenidClient.Configuration };

/** @throws MailgressError `oauth_not_configured`, naming the variables to set. */
export function requireClient(settings: OAuthSettings, provider: OAuthProvider) {
  const { client } = settings[provider];
  if (client !== undefined) return client;
  const { title, clientVariables } = PROVIDERS[provider];
  throw new MailgressError(
    'oauth_not_configured',
    `${title} cannot be asked for consent: this service has no OAuth client. Set ${clientVariables.join(' and ')}`,
  );
}

/**
 * Loads the library, which an idle service does without, and what is known of the provider. It is asked over the
 * network where that is not fixed.
 *
 * @throws MailgressError `oauth_not_configured`; whatever `openid-client` throws when the provider is out of reach.
 */
export async function openClient(settings: OAuthSettings, provider: OAuthProvider): Promise<OAuthClient> {
  const client = requireClient(settings, provider);
  const openid = await import('openid-client');
  const configuration =
    provider === 'google'
      ? await configureGoogle(openid, settings.google, client)
      : await configureMicrosoft(openid, settings.microsoft, client);
  configuration.timeout = TIMEOUT_S;
  // TLS says whose answer it is; the signature too, for those who have set another address for it.
  openid.enableNonRepudiationChecks(configuration);
  return { openid, configuration };
}

/** Google's own addresses are fixed; an emulator's are discovered, but for the token's, which has a variable. */
async function configureGoogle(
  openid: typeof OpenidClient,
  { issuer, tokenUrl, certsUrl }: OAuthSettings['google'],
  { id, secret }: { id: string; secret: string },
): Promise<OpenidClient.Configuration> {
  const found =
    issuer === GOOGLE_ISSUER
      ? GOOGLE
      : (
          await openid.discovery(new URL(issuer), id, secret, undefined, {
            timeout: TIMEOUT_S,
            execute: isPlain(issuer) ? [openid.allowInsecureRequests] : [],
          })
        ).serverMetadata();
  const { authorization_endpoint = `${issuer}/o/oauth2/v2/auth`, jwks_uri = certsUrl } = found;
  const server = { issuer: found.issuer, authorization_endpoint, token_endpoint: tokenUrl, jwks_uri };
  const configuration = new openid.Configuration(server, id, secret);
  if ([issuer, tokenUrl, certsUrl].some(isPlain)) openid.allowInsecureRequests(configuration);
  return configuration;
}

/**
 * Discovered at Microsoft's own address: so the library knows whose it is, and that `common` names no tenant as the
 * issuer but a place for it, which each token fills in with its own (`tid`). With MICROSOFT_TOKEN_URL, all that is asked
 * of Microsoft is asked of that origin.
 */
function configureMicrosoft(
  openid: typeof OpenidClient,
  { tenant, tokenUrl }: OAuthSettings['microsoft'],
  { id, secret }: { id: string; secret: string },
): Promise<OpenidClient.Configuration> {
  const { origin } = new URL(tokenUrl);
  const isElsewhere = origin !== MICROSOFT_ORIGIN;
  const redirected: OpenidClient.CustomFetch = (url, options) =>
    fetch(
      url.startsWith(`${MICROSOFT_ORIGIN}/`) ? `${origin}${url.slice(MICROSOFT_ORIGIN.length)}` : url,
      // The library's body is one that fetch takes; the two type it apart.
      options as RequestInit,
    );
  return openid.discovery(new URL(`${MICROSOFT_ORIGIN}/${tenant}/v2.0`), id, secret, undefined, {
    timeout: TIMEOUT_S,
    ...(isElsewhere && { [openid.customFetch]: redirected }),
    execute: isPlain(tokenUrl) ? [openid.allowInsecureRequests] : [],
  });
}

/** http is for emulators, which one has to name. */
function isPlain(url: string): boolean {
  return url.startsWith('http:');
}
