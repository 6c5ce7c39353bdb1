import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as wait } from 'node:timers/promises';
import { OAuth2Server } from 'oauth2-mock-server';
import type { PushTokenOptions } from '../../src/sources/gmail/push-token.ts';

export const AUDIENCE = 'https://mailgress.example/v1/ingest/pubsub';
export const SERVICE_ACCOUNT = 'pusher@my-project.iam.gserviceaccount.com';

/** Who signs push tokens: a real OIDC server, whose keys can be out of reach. */
export type PushTokens = AsyncDisposable & {
  /** What a service is configured with to take them, and the variables that say so. */
  options: PushTokenOptions;
  env: Record<string, string>;
  server: OAuth2Server;
  certs: Certs;
  /** Nobody listens; and again. */
  stop(): Promise<void>;
  start(): Promise<void>;
  /** A token that is right but for these changes; a claim that is undefined is left out. */
  token(claims?: Record<string, unknown>, header?: Record<string, unknown>): Promise<string>;
  /** Makes a key, signs with that one alone, and publishes it beside the others or instead of them. */
  rotate(published: 'beside' | 'instead'): Promise<void>;
};

/** How the keys are answered. */
export type Certs = {
  fetches: number;
  headers: Record<string, string>;
  answer: 'keys' | 'error' | 'garbage' | 'no keys' | 'too much' | 'nothing' | 'half' | 'silence';
  /** Answered so much later. */
  delayMs: number;
  /** The ids of those that are published. */
  published: Set<string>;
};

export async function startPushTokens(): Promise<PushTokens> {
  const server = new OAuth2Server();
  const first = await server.issuer.keys.generate('RS256');
  let kid = first.kid;
  const certs: Certs = {
    fetches: 0,
    headers: { 'cache-control': 'public, max-age=20000, must-revalidate, no-transform' },
    answer: 'keys',
    delayMs: 0,
    published: new Set([kid]),
  };
  server.service.addRoute('GET', '/certs', (_request: IncomingMessage, response: ServerResponse) =>
    answerCerts(server, certs, response),
  );
  await server.start(0, '127.0.0.1');
  const { port } = server.address();
  const issuer = `http://127.0.0.1:${port}`;
  return {
    options: {
      audience: AUDIENCE,
      serviceAccount: SERVICE_ACCOUNT,
      issuer,
      certsUrl: `${issuer}/certs`,
    },
    env: {
      MAILGRESS_PUBSUB_AUDIENCE: AUDIENCE,
      MAILGRESS_PUBSUB_SERVICE_ACCOUNT: SERVICE_ACCOUNT,
      GOOGLE_OIDC_ISSUER: issuer,
      GOOGLE_OIDC_CERTS_URL: `${issuer}/certs`,
    },
    server,
    certs,
    stop: () => server.stop(),
    async start() {
      if (!server.listening) await server.start(port, '127.0.0.1');
    },
    async token(claims = {}, header = {}) {
      // It forgets when it stops, and has a name of its own when it starts.
      server.issuer.url = issuer;
      return server.issuer.buildToken({
        kid,
        scopesOrTransform: (head, payload) => {
          Object.assign(head, header);
          Object.assign(payload, {
            aud: AUDIENCE,
            azp: '113774264463038321964',
            sub: '113774264463038321964',
            email: SERVICE_ACCOUNT,
            email_verified: true,
            ...claims,
          });
        },
      });
    },
    async rotate(published) {
      kid = (await server.issuer.keys.generate('RS256')).kid;
      if (published === 'instead') certs.published.clear();
      certs.published.add(kid);
    },
    async [Symbol.asyncDispose]() {
      if (server.listening) await server.stop();
    },
  };
}

async function answerCerts(server: OAuth2Server, certs: Certs, response: ServerResponse): Promise<void> {
  certs.fetches++;
  if (certs.delayMs > 0) await wait(certs.delayMs);
  const keys = server.issuer.keys.toJSON().filter(({ kid }) => certs.published.has(kid));
  const text = JSON.stringify({ keys });
  const answers: Record<Certs['answer'], () => void> = {
    keys: () => response.writeHead(200, { ...certs.headers, 'content-type': 'application/json' }).end(text),
    error: () => response.writeHead(500).end('no'),
    garbage: () => response.writeHead(200).end('<html>Sign in to the hotel'),
    'no keys': () => response.writeHead(200).end('{"keys":[]}'),
    'too much': () => response.writeHead(200).end(JSON.stringify({ keys, padding: 'a'.repeat(300_000) })),
    nothing: () => response.destroy(),
    silence: () => {},
    half: () => {
      response.writeHead(200, { 'content-length': text.length }).write(text.slice(0, 100));
      setTimeout(() => response.destroy(), 20);
    },
  };
  answers[certs.answer]();
}
