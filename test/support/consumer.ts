import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import { buffer } from 'node:stream/consumers';

export type Received = { path: string; headers: IncomingHttpHeaders; body: string };

export type Consumer = AsyncDisposable & {
  url: string;
  /** All that came, in order. */
  received: Received[];
  /** Resolves once `count` webhooks came in all; rejects after `timeoutMs` with how many did. */
  waitFor(count: number, timeoutMs?: number): Promise<Received[]>;
  close(): Promise<void>;
};

/** A consumer, on a port of its own unless there is one given; `answer` replaces its 204. */
export async function startConsumer(
  answer: (response: ServerResponse, request: Received) => void = (response) => response.writeHead(204).end(),
  port = 0,
): Promise<Consumer> {
  const received: Received[] = [];
  let onReceived = () => {};
  const server = createServer(async (request, response) => {
    const body = (await buffer(request)).toString('utf8');
    const one = { path: request.url ?? '', headers: request.headers, body };
    received.push(one);
    onReceived();
    answer(response, one);
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');

  async function close(): Promise<void> {
    if (!server.listening) return;
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  }

  return {
    url: `http://127.0.0.1:${address.port}/hook`,
    received,
    waitFor: (count, timeoutMs = 20_000) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(
          () => reject(new Error(`${received.length} of ${count} webhooks came in ${timeoutMs} ms`)),
          timeoutMs,
        );
        onReceived = () => {
          if (received.length < count) return;
          clearTimeout(timer);
          resolve(received);
        };
        onReceived();
      }),
    close,
    [Symbol.asyncDispose]: close,
  };
}
