import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { json } from 'node:stream/consumers';

/** A consumer as they are: most webhooks it takes, some it fails or breaks off, but none twice. */
export type FlakyConsumer = AsyncDisposable & {
  url: string;
  /** By message: under which webhook-ids it came, and whether one of these was answered with 2xx. */
  messages: ReadonlyMap<string, { webhookIds: Set<string>; isTaken: boolean }>;
  counts: { received: number; failed: number; reset: number };
};

export async function startFlakyConsumer(): Promise<FlakyConsumer> {
  const messages = new Map<string, { webhookIds: Set<string>; isTaken: boolean }>();
  const seen = new Set<string>();
  const counts = { received: 0, failed: 0, reset: 0 };

  const server = createServer(async (request, response) => {
    const { data } = (await json(request)) as { data: { id: string } };
    counts.received++;
    const webhookId = String(request.headers['webhook-id']);
    const message = messages.get(data.id) ?? { webhookIds: new Set(), isTaken: false };
    messages.set(data.id, message);
    message.webhookIds.add(webhookId);

    const draw = seen.has(webhookId) ? 0 : randomInt(20);
    seen.add(webhookId);
    if (draw === 19) {
      counts.reset++;
      request.socket.resetAndDestroy();
    } else if (draw > 16) {
      counts.failed++;
      response.writeHead(500).end('no');
    } else {
      message.isTaken = true;
      response.writeHead(204).end();
    }
  });
  // A request of a process that was killed breaks off.
  server.on('clientError', () => {});
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');

  return {
    url: `http://127.0.0.1:${address.port}/`,
    messages,
    counts,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
