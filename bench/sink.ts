/*
 * A consumer that does nothing but count, a process of its own; what is posted to /hang is never answered. It tells, asked,
 * how many came, when each tenth of them did, and how long after `data.sentNs` where an event has that.
 */
import { once } from 'node:events';
import { createServer } from 'node:http';

export type SinkReport = { count: number; arrivalsNs: string[]; latenciesMs: number[] };

let arrivalsNs: string[] = [];
let latenciesMs: number[] = [];

const server = createServer((request, response) => {
  if (request.url === '/hang') return void request.resume();
  const chunks: Buffer[] = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    const now = process.hrtime.bigint();
    arrivalsNs.push(String(now));
    const [, sentNs] = /"sentNs":"(\d+)"/.exec(Buffer.concat(chunks).toString()) ?? [];
    if (sentNs !== undefined) latenciesMs.push(Number(now - BigInt(sentNs)) / 1e6);
    response.writeHead(204).end();
  });
}).listen(0, '127.0.0.1');
await once(server, 'listening');
const address = server.address();
const port = typeof address === 'object' && address !== null ? address.port : 0;

process.on('message', (order: 'count' | 'take') => {
  const isTaken = order === 'take';
  process.send?.({
    count: arrivalsNs.length,
    arrivalsNs: isTaken ? arrivalsNs : [],
    latenciesMs: isTaken ? latenciesMs : [],
  } satisfies SinkReport);
  if (isTaken) {
    arrivalsNs = [];
    latenciesMs = [];
  }
});
process.send?.({ url: `http://127.0.0.1:${port}` });
