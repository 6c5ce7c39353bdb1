import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import type { AttemptResult } from '../../src/deliver/attempt.ts';
import { createEgress, type Lookup } from '../../src/deliver/egress.ts';
import { createPoster, type PostRequest } from '../../src/deliver/post.ts';

/** A consumer under test: where it listens, the connections it took and the paths it was asked for. */
export type Consumer = { url: string; port: number; sockets: Socket[]; paths: string[] };

/** An HTTP consumer on loopback. The request's body has been read when `answer` is called. */
export async function serveHttp(t: TestContext, answer: RequestListener): Promise<Consumer> {
  const server = createServer((request, response) => {
    consumer.paths.push(request.url ?? '');
    request.on('end', () => answer(request, response)).resume();
  });
  const consumer = await listen(t, server);
  return consumer;
}

/** A consumer that speaks whatever `onRequest` writes, called for every piece of data that arrives. */
export function serveRaw(
  t: TestContext,
  onRequest: (socket: Socket, data: string) => void,
): Promise<Consumer> {
  const server = createTcpServer((socket) => {
    socket.on('data', (data) => onRequest(socket, String(data)));
  });
  return listen(t, server);
}

export async function listen(t: TestContext, server: Server, scheme = 'http'): Promise<Consumer> {
  const sockets: Socket[] = [];
  server.on('connection', (socket: Socket) => {
    sockets.push(socket);
    // Tests break connections on purpose.
    socket.on('error', () => {});
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  // A server that listens on TCP has this kind of address.
  const { port } = server.address() as AddressInfo;
  return { url: `${scheme}://127.0.0.1:${port}`, port, sockets, paths: [] };
}

type Options = Partial<Parameters<typeof createPoster>[0]> & { lookup?: Lookup };

/** A poster that may reach loopback, closed after the test, as a function of the URL. */
export function createTestPoster(t: TestContext, options: Options = {}) {
  const lookup = options.lookup === undefined ? {} : { lookup: options.lookup };
  const egress = createEgress({ allow: [], allowLoopback: true, ...lookup });
  const poster = createPoster({ egress, userAgent: 'Mailgress/test', ...options });
  t.after(() => poster.close());
  return {
    close: () => poster.close(),
    post: (url: string, request: Partial<PostRequest> = {}) =>
      poster.post({ headers: {}, body: '{"type":"test"}', ...request, url }),
  };
}

/** What a table of answers is about: the status, or the code of the error. */
export function outcomeOf(result: AttemptResult): number | string {
  return result.error === null ? result.statusCode : result.error.code;
}

/** Resolves when a connection is gone, also if it already is. */
export function closed(socket: Socket | undefined): Promise<void> {
  // Not events.once, which rejects for the reset that is to be expected.
  return new Promise((resolve) => {
    if (!socket || socket.closed) resolve();
    else socket.once('close', () => resolve());
  });
}
