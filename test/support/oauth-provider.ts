import {
  type MutableResponse,
  type MutableToken,
  OAuth2Server,
  type TokenRequestIncomingMessage,
} from 'oauth2-mock-server';
import { type Config, readConfig } from '../../src/config.ts';

export const CLIENT = { id: 'client-of-the-tests.apps.example', secret: 'client-secret-that-nobody-is-told' };
export const GMAIL_SCOPE = 'https://www.googleapis.com/auth/gmail.readonly';
export const IMAP_SCOPE = 'https://outlook.office.com/IMAP.AccessAsUser.All';
const TENANT_ID = '9188040d-6c67-4c5b-b112-36a304b66dad';
const MICROSOFT = 'https://login.microsoftonline.com';

/** What the person at the provider does, and what the provider makes of it. */
export type Behaviour = {
  /** Claims of the id token; undefined takes one away. */
  claims: Record<string, unknown>;
  /** Over the answer of the token endpoint; undefined takes a field away. */
  answer: Record<string, unknown>;
  status: number;
  /** Instead of a code. */
  refusal: Record<string, string>;
};

export type OAuthProviderServer = AsyncDisposable & {
  settings: Pick<Config, 'google' | 'microsoft'>;
  /** What it was asked at the authorization and token endpoints. */
  asked: { authorize: URLSearchParams[]; token: Record<string, unknown>[] };
  /** What it gave out: codes, access, id and refresh tokens. */
  given: string[];
  /** Until the next call: as a provider does where nothing is special, but for this. */
  behave(behaviour?: Partial<Behaviour>): void;
};

/**
 * Google or Microsoft as `oauth2-mock-server` plays them: real signatures, PKCE and codes that work once, the documents
 * and claims of the provider in question.
 */
export async function startOAuthProvider(
  provider: 'google' | 'microsoft',
  email = 'me@example.com',
): Promise<OAuthProviderServer> {
  const isGoogle = provider === 'google';
  const server = new OAuth2Server(undefined, undefined, {
    endpoints: isGoogle
      ? {}
      : {
          wellKnownDocument: '/common/v2.0/.well-known/openid-configuration',
          authorize: '/common/oauth2/v2.0/authorize',
          token: '/common/oauth2/v2.0/token',
          jwks: '/common/discovery/v2.0/keys',
        },
  });
  await server.issuer.keys.generate('RS256');
  await server.start(0, '127.0.0.1');
  const origin = `http://localhost:${server.address().port}`;
  server.issuer.url = origin;
  const { service } = server;

  const asked: OAuthProviderServer['asked'] = { authorize: [], token: [] };
  const given: string[] = [];
  let now: Behaviour;
  const behave = (behaviour: Partial<Behaviour> = {}) => {
    now = { claims: {}, answer: {}, status: 200, refusal: {}, ...behaviour };
  };
  behave();

  service.on('beforeAuthorizeRedirect', ({ url }: { url: URL }, request: { url: string }) => {
    asked.authorize.push(new URL(request.url, origin).searchParams);
    if (Object.keys(now.refusal).length > 0) url.searchParams.delete('code');
    for (const [name, value] of Object.entries(now.refusal)) url.searchParams.set(name, value);
    given.push(url.searchParams.get('code') ?? '');
  });
  service.on('beforeTokenSigning', ({ payload }: MutableToken, request: TokenRequestIncomingMessage) => {
    if (payload.aud === undefined) return; // The access token, which is opaque to us.
    Object.assign(
      payload,
      isGoogle
        ? { email, email_verified: true }
        : { iss: `${MICROSOFT}/${TENANT_ID}/v2.0`, tid: TENANT_ID, preferred_username: email, email },
      now.claims,
    );
    asked.token.push({ ...request.body });
  });
  service.on('beforeResponse', (response: MutableResponse) => {
    const scope = isGoogle
      ? `openid https://www.googleapis.com/auth/userinfo.email ${GMAIL_SCOPE}`
      : IMAP_SCOPE;
    response.body = { ...(response.body as Record<string, unknown>), scope, ...now.answer };
    response.statusCode = now.status;
    for (const name of ['access_token', 'id_token', 'refresh_token']) {
      const token = response.body[name];
      if (typeof token === 'string') given.push(token);
    }
  });
  service.on('beforeWellKnownOpenIdConfiguration', ({ body }: MutableResponse) => {
    if (isGoogle || body === '') return;
    // As Microsoft's says it: its own addresses, and a place for the tenant. A browser is sent to the emulator all the same.
    body.issuer = `${MICROSOFT}/{tenantid}/v2.0`;
    body.token_endpoint = `${MICROSOFT}/common/oauth2/v2.0/token`;
    body.jwks_uri = `${MICROSOFT}/common/discovery/v2.0/keys`;
  });

  const { google, microsoft } = readConfig({});
  return {
    settings: {
      google: isGoogle
        ? {
            ...google,
            client: CLIENT,
            issuer: origin,
            tokenUrl: `${origin}/token`,
            certsUrl: `${origin}/jwks`,
          }
        : google,
      microsoft: isGoogle
        ? microsoft
        : { ...microsoft, client: CLIENT, tokenUrl: `${origin}/common/oauth2/v2.0/token` },
    },
    asked,
    given,
    behave,
    async [Symbol.asyncDispose]() {
      await server.stop();
    },
  };
}
