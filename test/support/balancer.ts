import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

/** What hosts put before replicas, at its simplest: each connection goes to the next of them that takes it. */
export type Balancer = AsyncDisposable & {
  address: string;
  /** How many connections each was given. */
  counts: readonly number[];
};

export async function startBalancer(ports: readonly number[]): Promise<Balancer> {
  const sockets = new Set<Socket>();
  const counts = ports.map(() => 0);
  let turn = 0;

  const server = createServer(async (client) => {
    keep(client);
    for (const _ of ports) {
      const at = turn++ % ports.length;
      const upstream = await open(ports[at] ?? 0);
      if (upstream === undefined) continue;
      counts[at] = (counts[at] ?? 0) + 1;
      keep(upstream);
      for (const [one, other] of [
        [client, upstream],
        [upstream, client],
      ] as const) {
        one.pipe(other);
        one.on('close', () => other.destroy());
      }
      return;
    }
    client.destroy();
  });

  function keep(socket: Socket): void {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
  }

  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    address: `http://127.0.0.1:${address.port}`,
    counts,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** Undefined when nobody listens there. */
async function open(port: number): Promise<Socket | undefined> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return socket;
  } catch {
    return undefined;
  }
}
