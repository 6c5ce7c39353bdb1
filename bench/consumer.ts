/*
 * A consumer, a process of its own: verifies each webhook and answers at once. Told a secret by a message it takes
 * webhooks signed with that; asked, it tells which mails have come, and when by the machine's monotonic clock.
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { Webhook } from 'standardwebhooks';

export type ConsumerOrder = { secret: string } | { take: true };
/** `arrivals` since the last time asked: provider id and nanoseconds. */
export type ConsumerReport = { arrivals: [string, string][]; refused: number };

let webhook: Webhook | undefined;
let arrivals: [string, string][] = [];
let refused = 0;

const server = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    try {
      const headers = request.headers as Record<string, string>;
      const event = webhook?.verify(Buffer.concat(chunks).toString(), headers) as {
        data: { providerId: string };
      };
      arrivals.push([event.data.providerId, String(process.hrtime.bigint())]);
      response.writeHead(204).end();
    } catch {
      refused++;
      response.writeHead(401).end();
    }
  });
}).listen(0, '127.0.0.1');
await once(server, 'listening');
const address = server.address();
const port = typeof address === 'object' && address !== null ? address.port : 0;

process.on('message', (order: ConsumerOrder) => {
  if ('secret' in order) {
    webhook = new Webhook(order.secret);
  } else {
    process.send?.({ arrivals, refused } satisfies ConsumerReport);
    arrivals = [];
    refused = 0;
  }
});
process.send?.({ url: `http://127.0.0.1:${port}/` });
