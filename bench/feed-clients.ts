/* Many clients of the stream, in a process of their own: when each event came to the first and to the last of them. */
import { connect } from 'node:net';

export type FeedClientsOrder = { port: number; token: string; count: number } | { take: true };
export type FeedClientsReport = {
  total: number;
  /** By the provider's id of the mail. */
  arrivals: { id: string; firstNs: string; lastNs: string }[];
};

const arrivals = new Map<string, { firstNs: bigint; lastNs: bigint }>();
let total = 0;

process.on('message', async (order: FeedClientsOrder) => {
  if ('take' in order) {
    const all = [...arrivals].map(([id, { firstNs, lastNs }]) => ({
      id,
      firstNs: String(firstNs),
      lastNs: String(lastNs),
    }));
    process.send?.({ total, arrivals: all } satisfies FeedClientsReport);
    return;
  }
  for (let n = 0; n < order.count; n += 50) {
    await Promise.all(Array.from({ length: Math.min(50, order.count - n) }, () => follow(order)));
  }
  process.send?.({ ready: true });
});

/** Resolves once the stream gives a place: it is live then. */
function follow({ port, token }: { port: number; token: string }): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    let text = '';
    socket.setEncoding('latin1');
    socket.once('error', reject);
    socket.write(`GET /v1/events/stream HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer ${token}\r\n\r\n`);
    socket.on('data', (chunk: string) => {
      const nowNs = process.hrtime.bigint();
      text += chunk;
      const blocks = text.split('\n\n');
      text = blocks.pop() ?? '';
      for (const block of blocks) {
        if (block.includes('id: ')) resolve();
        const [, id] = /"providerId":"([^"]+)"/.exec(block) ?? [];
        if (id === undefined) continue;
        total++;
        const known = arrivals.get(id);
        if (known === undefined) arrivals.set(id, { firstNs: nowNs, lastNs: nowNs });
        else known.lastNs = nowNs;
      }
    });
  });
}
