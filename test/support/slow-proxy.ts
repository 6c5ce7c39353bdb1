import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

/** A PostgreSQL that is slow: everything between a service and its database goes through one narrow line. */
export type SlowProxy = AsyncDisposable & {
  /** The database's URL by way of the proxy. */
  url: string;
  /** How many bytes go through in a second, of all connections and both ways together; undefined: as they come. */
  narrow(bytesPerSecond: number | undefined): void;
  /** How many have gone through so far. */
  bytes(): number;
};

const TICK_MS = 5;
/** Of one connection and way in a turn, so that a long statement does not keep all others from theirs. */
const PIECE_BYTES = 2048;
/** What waits of one way beyond this is left at the sender. */
const MAX_WAITING_BYTES = 256 * 1024;

type Way = { from: Socket; to: Socket; waiting: Buffer[]; waitingBytes: number };

export async function startSlowProxy(target: string): Promise<SlowProxy> {
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  let ways: Way[] = [];
  let bytesPerSecond: number | undefined;
  let bytes = 0;
  let credit = 0;
  let tickedMs = performance.now();

  const server = createServer({ noDelay: true }, (client) => {
    const upstream = connect(Number(port), hostname).setNoDelay(true);
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      const way: Way = { from, to, waiting: [], waitingBytes: 0 };
      ways.push(way);
      sockets.add(from);
      from.on('error', () => {});
      from.on('data', (chunk: Buffer) => take(way, chunk));
      from.on('close', () => {
        sockets.delete(from);
        ways = ways.filter((one) => one !== way);
        to.destroy();
      });
    }
  });

  function take(way: Way, chunk: Buffer): void {
    if (bytesPerSecond === undefined && way.waitingBytes === 0) {
      bytes += chunk.length;
      way.to.write(chunk);
      return;
    }
    way.waiting.push(chunk);
    way.waitingBytes += chunk.length;
    if (way.waitingBytes > MAX_WAITING_BYTES) way.from.pause();
  }

  function tick(): void {
    const now = performance.now();
    const rate = bytesPerSecond ?? Number.POSITIVE_INFINITY;
    // Nothing is saved up while nobody sends.
    credit = Math.min(credit + (rate * (now - tickedMs)) / 1000, rate / 20);
    tickedMs = now;
    // In turns, each a piece, until the credit is used up or nobody waits.
    for (let isAnySent = true; isAnySent && credit > 0; ) {
      isAnySent = false;
      for (const way of [...ways]) {
        if (way.waitingBytes === 0 || credit <= 0) continue;
        credit -= send(way);
        isAnySent = true;
      }
      // Who was first in this turn is last in the next.
      const first = ways.shift();
      if (first !== undefined) ways.push(first);
    }
  }

  function send(way: Way): number {
    const [chunk = Buffer.of()] = way.waiting;
    const piece = chunk.subarray(0, PIECE_BYTES);
    if (piece.length === chunk.length) way.waiting.shift();
    else way.waiting[0] = chunk.subarray(PIECE_BYTES);
    way.waitingBytes -= piece.length;
    bytes += piece.length;
    way.to.write(piece);
    if (way.waitingBytes <= MAX_WAITING_BYTES / 2) way.from.resume();
    return piece.length;
  }

  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const url = new URL(target);
  url.host = `127.0.0.1:${address.port}`;
  const timer = setInterval(tick, TICK_MS);

  return {
    url: url.href,
    narrow(rate) {
      bytesPerSecond = rate;
      tickedMs = performance.now();
      credit = 0;
    },
    bytes: () => bytes,
    async [Symbol.asyncDispose]() {
      clearInterval(timer);
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
