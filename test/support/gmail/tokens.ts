import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { exportSPKI, importJWK } from 'jose';
import { OAuth2Issuer, OAuth2Service } from 'oauth2-mock-server';

/** Google's issuer of OIDC tokens for pushes, played by oauth2-mock-server. */
export type TokenIssuer = AsyncDisposable & {
  issuer: string;
  /** Answers the JWKS, with `cache-control: max-age`. */
  jwksUrl: string;
  /** What tokens carry unless they are told otherwise. */
  audience: string;
  serviceAccount: string;
  /** The variables of the service that lead here. */
  env: Record<string, string>;
  /** A signed token; `claims` are put over those that Google's have, undefined takes one away. */
  token(overrides?: Overrides): Promise<string>;
  /** A service must take none of these, by what is wrong with them; undefined: no token at all. */
  badTokens(): Promise<Record<string, string | undefined>>;
  /** Tokens are signed with a new key from now on. The old one is still answered unless `forget`. */
  rotate(settings?: { forget?: boolean }): Promise<void>;
  /** How often the keys were asked for. */
  requests: number;
  /** Answers 503, or nothing at all, until it is told to come back. */
  goDown(how?: '503' | 'silent'): void;
  comeBack(): void;
  close(): Promise<void>;
};

export type Overrides = {
  claims?: Record<string, unknown>;
  header?: Record<string, unknown>;
};

export async function startTokenIssuer({
  audience = 'https://mail.example.com/v1/ingest/pubsub',
  serviceAccount = 'pusher@test-project.iam.gserviceaccount.com',
  maxAgeSeconds = 3600,
} = {}): Promise<TokenIssuer> {
  let issuing = await createIssuer();
  let answered = [issuing];
  let down: '503' | 'silent' | undefined;

  const server = createServer((request, response) => {
    tokens.requests++;
    if (down === 'silent') return;
    if (down === '503') {
      response.writeHead(503).end();
      return;
    }
    response.setHeader('cache-control', `public, max-age=${maxAgeSeconds}, must-revalidate, no-transform`);
    // The first has all keys.
    const [first = issuing] = answered;
    new OAuth2Service(first).requestHandler(request, response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const issuer = `http://127.0.0.1:${address.port}`;
  issuing.url = issuer;

  function sign(by: OAuth2Issuer, { claims = {}, header = {} }: Overrides): Promise<string> {
    return by.buildToken({
      scopesOrTransform: (signedHeader, payload) => {
        // Google's have none.
        delete (payload as Record<string, unknown>).nbf;
        Object.assign(payload, {
          aud: audience,
          azp: '113774264463038321964',
          email: serviceAccount,
          email_verified: true,
          sub: '113774264463038321964',
          ...claims,
        });
        for (const name of Object.keys(claims)) if (claims[name] === undefined) delete payload[name];
        Object.assign(signedHeader, header);
      },
    });
  }

  const token = (overrides: Overrides = {}) => sign(issuing, overrides);

  async function badTokens(): Promise<Record<string, string | undefined>> {
    const now = Math.floor(Date.now() / 1000);
    const stranger = await createIssuer();
    stranger.url = issuer;
    const good = await token();
    return {
      'another audience': await token({ claims: { aud: 'https://elsewhere.example.com/' } }),
      'another issuer': await token({ claims: { iss: 'https://accounts.example.com' } }),
      'another service account': await token({
        claims: { email: 'other@test-project.iam.gserviceaccount.com' },
      }),
      'no email': await token({ claims: { email: undefined } }),
      'an email that is not verified': await token({ claims: { email_verified: false } }),
      'an email of which nobody says it is verified': await token({ claims: { email_verified: undefined } }),
      expired: await token({ claims: { iat: now - 7200, exp: now - 3600 } }),
      'without an end': await token({ claims: { exp: undefined } }),
      'not valid yet': await token({ claims: { nbf: now + 3600 } }),
      'HS256 with the public key': await signWithPublicKey(good),
      'alg none': `${encode({ alg: 'none', typ: 'JWT' })}.${good.split('.')[1]}.`,
      'a key that nobody knows': await sign(stranger, {}),
      'a strange key under a known name': await sign(stranger, { header: { kid: keyIdOf(good) } }),
      'a changed claim': good.replace(/\.[^.]+\./, `.${encode({ ...claimsOf(good), aud: 'x' })}.`),
      "another project's valid token": await token({
        claims: { aud: 'https://other.example.com/push', email: 'pusher@other.iam.gserviceaccount.com' },
      }),
      'no token of three parts': 'abc',
      none: undefined,
    };
  }

  async function signWithPublicKey(good: string): Promise<string> {
    const [jwk] = issuing.keys.toJSON();
    if (jwk === undefined) throw new Error('no key');
    const key = await importJWK(jwk, 'RS256', { extractable: true });
    if (key instanceof Uint8Array) throw new Error('no public key');
    const text = `${encode({ alg: 'HS256', typ: 'JWT', kid: keyIdOf(good) })}.${good.split('.')[1]}`;
    return `${text}.${createHmac('sha256', await exportSPKI(key))
      .update(text)
      .digest('base64url')}`;
  }

  async function close(): Promise<void> {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  }

  const tokens: TokenIssuer = {
    issuer,
    jwksUrl: `${issuer}/jwks`,
    audience,
    serviceAccount,
    env: {
      MAILGRESS_PUBSUB_AUDIENCE: audience,
      MAILGRESS_PUBSUB_SERVICE_ACCOUNT: serviceAccount,
      GOOGLE_OIDC_CERTS_URL: `${issuer}/jwks`,
      GOOGLE_OIDC_ISSUER: issuer,
    },
    token,
    badTokens,
    async rotate({ forget = false } = {}) {
      const fresh = await createIssuer();
      fresh.url = issuer;
      if (!forget) for (const key of issuing.keys.toJSON(true)) await fresh.keys.add(key);
      // It takes its keys in turn: what signs has one of its own.
      const signer = await createIssuer(fresh.keys.toJSON(true)[0]);
      signer.url = issuer;
      issuing = signer;
      answered = [fresh];
    },
    requests: 0,
    goDown(how = '503') {
      down = how;
    },
    comeBack() {
      down = undefined;
    },
    close,
    [Symbol.asyncDispose]: close,
  };
  return tokens;
}

/** With one key. */
async function createIssuer(key?: Record<string, unknown>): Promise<OAuth2Issuer> {
  const issuer = new OAuth2Issuer();
  await (key === undefined ? issuer.keys.generate('RS256') : issuer.keys.add(key));
  return issuer;
}

const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
const decode = (part = '') => JSON.parse(Buffer.from(part, 'base64url').toString());
const claimsOf = (token: string) => decode(token.split('.')[1]);
const keyIdOf = (token: string) => decode(token.split('.')[0]).kid;
