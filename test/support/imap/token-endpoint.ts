import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import type { TokenBook } from './token-book.ts';

/** Where refresh tokens are exchanged (RFC 6749, 6) for access tokens that Dovecot finds in the book. */
export type TokenEndpoint = AsyncDisposable & {
  url: string;
  /** A consent of this user: its refresh token. The one before stays good. */
  grant(user: string): string;
  /** Every refresh token of this user is over. */
  revoke(user: string): void;
  /** Each exchange gives another refresh token from now on, and the old one is over. */
  rotate(user: string): void;
  behave(how: 'answer' | 'error' | 'garbage' | 'redirect'): void;
  /** The forms of this user's exchanges. */
  asked(user: string): URLSearchParams[];
  /** Access tokens given out to this user. */
  issued(user: string): string[];
  /** Exchanges of this user's tokens that were over. */
  refused(user: string): number;
  /** Requests that came where the redirect points. */
  strayed(): number;
};

/** The client is whoever comes first: `invalid_client` for any other secret. */
export async function startTokenEndpoint(book: TokenBook): Promise<TokenEndpoint> {
  const users = new Map<string, string>();
  const good = new Set<string>();
  const rotating = new Set<string>();
  const asked: { user: string; form: URLSearchParams }[] = [];
  const issued: { user: string; token: string }[] = [];
  const refused: string[] = [];
  let secret: string | null = null;
  let how: Parameters<TokenEndpoint['behave']>[0] = 'answer';
  let strayed = 0;

  const server = createServer(async (request, response) => {
    const form = new URLSearchParams(await text(request));
    if (request.url === '/elsewhere') strayed++;
    if (how === 'error') return void response.writeHead(500).end('out of order');
    if (how === 'garbage') return void response.writeHead(200).end('<html>hello</html>');
    if (how === 'redirect') return void response.writeHead(307, { location: '/elsewhere' }).end();
    secret ??= form.get('client_secret');
    if (form.get('client_secret') !== secret) return answer(response, 401, { error: 'invalid_client' });
    const token = form.get('refresh_token') ?? '';
    const user = users.get(token);
    if (user !== undefined) asked.push({ user, form });
    if (user === undefined || !good.has(token)) {
      refused.push(user ?? '');
      return answer(response, 400, { error: 'invalid_grant', error_description: 'Token has been revoked.' });
    }
    const accessToken = await book.issue(user);
    issued.push({ user, token: accessToken });
    const next = rotating.has(user) ? { refresh_token: make(user) } : {};
    if (rotating.has(user)) good.delete(token);
    answer(response, 200, { access_token: accessToken, expires_in: 3600, token_type: 'Bearer', ...next });
  });

  function make(user: string): string {
    const token = `refresh-${randomBytes(24).toString('hex')}`;
    users.set(token, user);
    good.add(token);
    return token;
  }

  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');

  return {
    url: `http://127.0.0.1:${address.port}/token`,
    grant: make,
    revoke(user) {
      for (const [token, whose] of users) if (whose === user) good.delete(token);
    },
    rotate: (user) => void rotating.add(user),
    behave(changed) {
      how = changed;
    },
    asked: (user) => asked.filter((one) => one.user === user).map(({ form }) => form),
    issued: (user) => issued.filter((one) => one.user === user).map(({ token }) => token),
    refused: (user) => refused.filter((one) => one === user).length,
    strayed: () => strayed,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

function answer(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
