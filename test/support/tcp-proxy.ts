import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

/** The network between a service and its PostgreSQL, and the ways in which it fails. */
export type TcpProxy = AsyncDisposable & {
  /** The database's URL by way of the proxy. */
  url: string;
  /** New connections go through. Those that `vanish` has silenced stay silent, as after a failover. */
  pass(): Promise<void>;
  /** Nobody listens: connections end, and new ones are refused. */
  refuse(): Promise<void>;
  /** As a balancer without a server behind it: connections end, and new ones are taken and closed at once. */
  hangUp(): Promise<void>;
  /** Nothing more is heard, on connections there are and on new ones; none is closed. */
  vanish(): Promise<void>;
  /** Ends every connection; new ones fare as before. */
  cut(): void;
  /** Ends every connection, once, when the service sends this text: in place of passing it on, or of its answer. */
  cutBefore(text: string): void;
  cutAfter(text: string): void;
  /** How many connections were made to it so far. */
  connections(): number;
};

type Mode = 'pass' | 'hangUp' | 'vanish';

export async function startTcpProxy(target: string): Promise<TcpProxy> {
  const { hostname, port } = new URL(target);
  const pairs = new Set<{ client: Socket; upstream: Socket }>();
  let mode: Mode = 'pass';
  let awaited: { text: string; isPassed: boolean } | undefined;
  let connections = 0;

  const server = createServer((client) => {
    connections++;
    client.on('error', () => {});
    // Read as well: else its own end is never seen, and `refuse` waits for it.
    if (mode === 'hangUp') return void client.resume().end();
    const upstream = connect(Number(port), hostname);
    const pair = { client, upstream };
    pairs.add(pair);
    upstream.on('error', () => {});
    client.on('data', (bytes) => {
      if (awaited !== undefined && bytes.includes(awaited.text)) {
        if (!awaited.isPassed) return cut();
        upstream.removeAllListeners('data').once('data', cut);
      }
      upstream.write(bytes);
    });
    upstream.on('data', (bytes) => void client.write(bytes));
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      one.on('close', () => {
        pairs.delete(pair);
        other.destroy();
      });
    }
    if (mode === 'vanish') silence(pair);
  });

  function silence({ client, upstream }: { client: Socket; upstream: Socket }): void {
    for (const socket of [client, upstream]) socket.removeAllListeners('data').pause();
  }

  function cut(): void {
    awaited = undefined;
    for (const { client, upstream } of pairs) {
      client.resetAndDestroy();
      upstream.destroy();
    }
  }

  async function listen(at: number): Promise<number> {
    server.listen(at, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    return address.port;
  }

  const ownPort = await listen(0);
  const url = new URL(target);
  url.host = `127.0.0.1:${ownPort}`;

  async function set(changed: Mode): Promise<void> {
    mode = changed;
    if (!server.listening) await listen(ownPort);
  }

  async function refuse(): Promise<void> {
    const closed = server.listening ? once(server, 'close') : undefined;
    server.close();
    cut();
    await closed;
  }

  return {
    url: url.href,
    pass: () => set('pass'),
    refuse,
    async hangUp() {
      await set('hangUp');
      cut();
    },
    async vanish() {
      await set('vanish');
      for (const pair of pairs) silence(pair);
    },
    cut,
    cutBefore(text) {
      awaited = { text, isPassed: false };
    },
    cutAfter(text) {
      awaited = { text, isPassed: true };
    },
    connections: () => connections,
    [Symbol.asyncDispose]: refuse,
  };
}
