import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { OAuth2Server } from 'oauth2-mock-server';

/** Who holds which access token, as an OAuth provider knows it, and the introspection endpoint that Dovecot asks. */
export type TokenBook = AsyncDisposable & {
  /** The endpoint (RFC 7662): POST with `token`, answers `{ active, email }`. */
  introspectionUrl: string;
  /** A signed token for this user; good for an hour unless told. */
  issue(user: string, options?: { expiresInSeconds?: number }): Promise<string>;
  /** Takes a token that another server gave out. */
  accept(token: string, user: string, options?: { expiresInSeconds?: number }): void;
  revoke(token: string): void;
  /** As time makes it. */
  expire(token: string): void;
  /** How the endpoint fares from now on. */
  behave(how: 'answer' | 'error' | 'silence'): void;
  /** How often it was asked. */
  asked(): number;
};

type Entry = { user: string; expiresAtMs: number; isRevoked: boolean };

export async function startTokenBook(): Promise<TokenBook> {
  const issuer = new OAuth2Server().issuer;
  await issuer.keys.generate('RS256');
  issuer.url = 'https://tokens.test';
  const entries = new Map<string, Entry>();
  let how: 'answer' | 'error' | 'silence' = 'answer';
  let asked = 0;
  let issued = 0;

  function introspect(token: string): Record<string, unknown> {
    const entry = entries.get(token);
    if (entry === undefined || entry.isRevoked || entry.expiresAtMs <= Date.now()) return { active: false };
    return { active: true, email: entry.user, exp: Math.floor(entry.expiresAtMs / 1000) };
  }

  const server = createServer(async (request, response) => {
    asked++;
    const token = new URLSearchParams(await textOf(request)).get('token') ?? '';
    if (how === 'silence') return;
    if (how === 'error') return void response.writeHead(500).end('no');
    answer(response, introspect(token));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');

  function accept(token: string, user: string, { expiresInSeconds = 3600 } = {}): void {
    entries.set(token, { user, expiresAtMs: Date.now() + expiresInSeconds * 1000, isRevoked: false });
  }

  function find(token: string): Entry {
    const entry = entries.get(token);
    if (entry === undefined) throw new Error('no such token in the book');
    return entry;
  }

  return {
    introspectionUrl: `http://127.0.0.1:${address.port}/introspect`,
    async issue(user, options = {}) {
      const token = await issuer.buildToken({
        scopesOrTransform: (_header, payload) => {
          Object.assign(payload, { sub: user, jti: `${++issued}` });
        },
      });
      accept(token, user, options);
      return token;
    },
    accept,
    revoke(token) {
      find(token).isRevoked = true;
    },
    expire(token) {
      find(token).expiresAtMs = 0;
    },
    behave(changed) {
      how = changed;
    },
    asked: () => asked,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

async function textOf(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) text += chunk;
  return text;
}

function answer(response: ServerResponse, body: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
