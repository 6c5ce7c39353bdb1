import { createPublicKey, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import { decodeJwt, jwtVerify } from 'jose';
import type { Answer } from './faults.ts';
import type { Upstream } from './upstream.ts';

/*
 * The token endpoint. emulate has the grants of a person's consent; service accounts, tokens that run out and consents
 * that give no refresh token are made here. It would also take any token that it does not know for the first account's,
 * so this is where a token is judged.
 */

export type Client = { id: string; secret: string; redirectUris: readonly string[] };

export type Grants = {
  /** The key file of a service account that may read in everyone's name, as Google gives it (JSON). */
  serviceAccount: string;
  answer(body: Buffer, headers: Record<string, string | undefined>): Promise<Answer>;
  /** Whose mailbox a request at the token endpoint is about, as far as its words tell. */
  accountOf(body: Buffer): string | undefined;
  /** Whose an access token is, while it is valid. */
  findAccount(accessToken: string): string | undefined;
  /** A refresh token of this account: the last consent's. */
  refreshToken(account: string): string;
  /** Consents as the person would at this authorization URL; answers where the browser is sent, with the code. */
  consent(account: string, authorizationUrl: string): Promise<URL>;
  /** A new consent, in place of the old one, for a refresh token. */
  grant(account: string): Promise<string>;
  /** Takes the consent back: the refresh token and every access token are void. */
  revoke(account: string): Promise<void>;
  /** Access tokens given so far are void; refresh tokens hold. */
  expireAccessTokens(account?: string): void;
};

const JWT_GRANT = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
const GOOGLE_TOKEN_URL = 'https://oauth2.googleapis.com/token';
const SCOPE = 'https://www.googleapis.com/auth/gmail.readonly';

export async function createGrants(settings: {
  upstream: Upstream;
  accounts: readonly string[];
  client: Client;
  tokenUrl: string;
  lifetimeSeconds: number;
}): Promise<Grants> {
  const { upstream, accounts, client, tokenUrl, lifetimeSeconds } = settings;
  const accessTokens = new Map<string, { account: string; untilMs: number }>();
  const refreshTokens = new Map<string, string>();
  const latest = new Map<string, string>();
  /** Codes of consents that asked for no offline access. */
  const onlineCodes = new Set<string>();
  const service = createServiceAccount(tokenUrl);

  function give(accessToken: string, account: string) {
    accessTokens.set(accessToken, { account, untilMs: Date.now() + lifetimeSeconds * 1000 });
    return { access_token: accessToken, expires_in: lifetimeSeconds };
  }

  async function exchange(form: URLSearchParams): Promise<Answer> {
    const { status, json } = await upstream.send({
      method: 'POST',
      path: '/oauth2/token',
      headers: { 'content-type': 'application/x-www-form-urlencoded', ...upstream.as(accounts[0] ?? '') },
      body: form.toString(),
    });
    if (status !== 200) return { status, body: json };
    const account =
      refreshTokens.get(form.get('refresh_token') ?? '') ?? String(decodeJwt(json.id_token).email);
    const { refresh_token: refreshToken, ...rest } = { ...json, ...give(json.access_token, account) };
    if (refreshToken === undefined || onlineCodes.has(form.get('code') ?? '')) return { status, body: rest };
    refreshTokens.set(refreshToken, account);
    latest.set(account, refreshToken);
    return { status, body: { ...rest, refresh_token: refreshToken } };
  }

  async function impersonate(assertion: string): Promise<Answer> {
    try {
      const { payload } = await jwtVerify(assertion, service.publicKey, {
        algorithms: ['RS256'],
        issuer: service.email,
        audience: [tokenUrl, GOOGLE_TOKEN_URL],
        requiredClaims: ['exp', 'iat'],
      });
      const { sub, scope } = payload;
      if (typeof scope !== 'string' || scope === '')
        return refused('invalid_scope', 'Empty or missing scope not allowed.');
      if (sub === undefined || !accounts.includes(sub))
        return refused('invalid_grant', 'Invalid email or User ID');
      const body = { ...give(`ya29.${randomBytes(20).toString('base64url')}`, sub), token_type: 'Bearer' };
      return { status: 200, body };
    } catch {
      return refused('invalid_grant', 'Invalid JWT Signature.');
    }
  }

  async function consent(account: string, authorizationUrl: string): Promise<URL> {
    const { searchParams: asked } = new URL(authorizationUrl);
    const page = await upstream.send({ method: 'GET', path: `/o/oauth2/v2/auth?${asked}` });
    if (page.status !== 200) throw new Error(`the consent page answers ${page.status}`);
    const answer = await upstream.send({
      method: 'POST',
      path: '/o/oauth2/v2/auth/callback',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams([...asked, ['email', account]]).toString(),
    });
    const back = new URL(answer.headers.location ?? '');
    // Without prompt=consent a person who consented before is not asked again, and no refresh token comes of it.
    const isOffline =
      asked.get('access_type') === 'offline' &&
      (!latest.has(account) || asked.get('prompt')?.includes('consent') === true);
    if (!isOffline) onlineCodes.add(back.searchParams.get('code') ?? '');
    return back;
  }

  async function grant(account: string): Promise<string> {
    const url = new URL(`${upstream.url}/o/oauth2/v2/auth`);
    const redirectUri = client.redirectUris[0] ?? '';
    url.search = new URLSearchParams({
      client_id: client.id,
      redirect_uri: redirectUri,
      scope: SCOPE,
      access_type: 'offline',
      prompt: 'consent',
    }).toString();
    const code = (await consent(account, url.href)).searchParams.get('code') ?? '';
    const form = { grant_type: 'authorization_code', code, redirect_uri: redirectUri };
    await exchange(new URLSearchParams({ ...form, client_id: client.id, client_secret: client.secret }));
    return refreshToken(account);
  }

  function refreshToken(account: string): string {
    const token = latest.get(account);
    if (token === undefined) throw new Error(`${account} has consented to nothing`);
    return token;
  }

  function expireAccessTokens(account?: string): void {
    for (const [token, given] of accessTokens)
      if (account === undefined || given.account === account) accessTokens.delete(token);
  }

  const grants: Grants = {
    serviceAccount: service.file,
    async answer(body, headers) {
      const form = readForm(body, headers);
      return form.get('grant_type') === JWT_GRANT ? impersonate(form.get('assertion') ?? '') : exchange(form);
    },
    accountOf(body) {
      const form = readForm(body, {});
      const assertion = form.get('assertion');
      if (assertion === null) return refreshTokens.get(form.get('refresh_token') ?? '');
      try {
        return decodeJwt(assertion).sub;
      } catch {
        return undefined;
      }
    },
    findAccount(accessToken) {
      const given = accessTokens.get(accessToken);
      return given === undefined || given.untilMs <= Date.now() ? undefined : given.account;
    },
    refreshToken,
    consent,
    grant,
    async revoke(account) {
      const form = new URLSearchParams({ token: refreshToken(account) });
      const headers = { 'content-type': 'application/x-www-form-urlencoded' };
      await upstream.send({ method: 'POST', path: '/oauth2/revoke', headers, body: form.toString() });
      expireAccessTokens(account);
    },
    expireAccessTokens,
  };
  for (const account of accounts) await grant(account);
  return grants;
}

/** The client's credentials may stand in the header (RFC 6749 section 2.3.1); emulate looks for them in the body. */
function readForm(body: Buffer, headers: Record<string, string | undefined>): URLSearchParams {
  const form = new URLSearchParams(body.toString());
  const [, basic] = /^Basic (.+)$/i.exec(headers.authorization ?? '') ?? [];
  if (basic === undefined) return form;
  const [id = '', secret = ''] = Buffer.from(basic, 'base64').toString().split(':');
  form.set('client_id', decodeURIComponent(id));
  form.set('client_secret', decodeURIComponent(secret));
  return form;
}

function createServiceAccount(tokenUrl: string): { email: string; publicKey: KeyObject; file: string } {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const email = 'reader@test-project.iam.gserviceaccount.com';
  const file = {
    type: 'service_account',
    project_id: 'test-project',
    private_key_id: randomBytes(20).toString('hex'),
    private_key: privateKey.export({ type: 'pkcs8', format: 'pem' }),
    client_email: email,
    client_id: '123456789012345678901',
    token_uri: tokenUrl,
  };
  return { email, publicKey: createPublicKey(privateKey), file: JSON.stringify(file) };
}

const refused = (error: string, description: string): Answer => ({
  status: 400,
  body: { error, error_description: description },
});
