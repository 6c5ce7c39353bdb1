import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { describeError, MailgressError } from '../core/errors.ts';

/** Where a provider sends the browser back to, in this process (RFC 8252, 7.3). */
export type Loopback = AsyncDisposable & {
  /** `http://127.0.0.1:<port>/`: the address and not `localhost`, which may be another one (RFC 8252, 8.3). */
  redirectUri: string;
  /**
   * The URL that the browser comes back with, once it carries this state; what comes without is turned away.
   * `answer` is what that browser is then shown.
   *
   * @throws MailgressError `service_unavailable` when nobody has come by then.
   */
  wait(state: string, timeoutMs: number): Promise<{ url: URL; answer(text: string): void }>;
};

/** Listens on a port that is free, for this machine alone. */
export async function listenOnLoopback(): Promise<Loopback> {
  const came = new Map<string, PromiseWithResolvers<{ url: URL; response: ServerResponse }>>();
  const server = createServer((request, response) => {
    // Null for `//`, which any page in the browser may ask for.
    const url = URL.parse(request.url ?? '/', redirectUri);
    const waiting = came.get(url?.searchParams.get('state') ?? '');
    if (request.method !== 'GET' || url?.pathname !== '/' || waiting === undefined) {
      return reply(response, 404, 'This is not the answer that mailgress waits for.');
    }
    waiting.resolve({ url, response });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new MailgressError('internal', 'no port');
  const redirectUri = `http://127.0.0.1:${address.port}/`;

  return {
    redirectUri,
    async wait(state, timeoutMs) {
      const waiting = Promise.withResolvers<{ url: URL; response: ServerResponse }>();
      came.set(state, waiting);
      const timer = setTimeout(() => waiting.reject(tooLate(timeoutMs)), timeoutMs);
      try {
        const { url, response } = await waiting.promise;
        return { url, answer: (text) => reply(response, 200, text) };
      } finally {
        clearTimeout(timer);
        // The state counts once.
        came.delete(state);
      }
    },
    async [Symbol.asyncDispose]() {
      server.close();
      // A browser keeps its connections open. What was answered is given time to be sent.
      server.closeIdleConnections();
      const timer = setTimeout(() => server.closeAllConnections(), 1000);
      await once(server, 'close').catch((error: unknown) => {
        throw new MailgressError('internal', `closing ${redirectUri}: ${describeError(error)}`);
      });
      clearTimeout(timer);
    },
  };
}

function reply(response: ServerResponse, status: number, text: string): void {
  response
    .writeHead(status, {
      'content-type': 'text/plain; charset=utf-8',
      'x-content-type-options': 'nosniff',
      'cache-control': 'no-store',
      'referrer-policy': 'no-referrer',
      connection: 'close',
    })
    .end(`${text}\n`);
}

function tooLate(timeoutMs: number): MailgressError {
  return new MailgressError(
    'service_unavailable',
    `Nobody came back with a consent in ${Math.round(timeoutMs / 1000)} s: run it again`,
  );
}
