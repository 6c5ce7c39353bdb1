import type { Socket } from 'node:net';
import { DriverSocket } from './driver-socket.ts';

/** Of the driver's parsed options, what says where to connect: hosts and ports in pairs, to be tried in turn. */
export type Where = { host: string[]; port: number[]; path: string | false };

export type Sockets = {
  /** What the driver calls for each connection; `onOver` is called when it has ended. */
  connect(where: Where, onOver: () => void): Socket;
  /** Ends those of which nothing is heard for another `graceMs`. One that idles may be among them: that costs nothing. */
  endSilent(): void;
};

/** From the first byte to the first answer. A database that is away should be told to the caller, not waited for. */
const CONNECT_TIMEOUT_MS = 5000;

/**
 * The sockets of the driver, made here for what it does not do.
 *
 * A server that vanished (a failover, a lost route) closes nothing. TCP then repeats for a quarter of an hour (Linux,
 * tcp_retries2), its keep-alive does not count while data is unacknowledged, Node has no TCP_USER_TIMEOUT, and the
 * pool goes on to use the dead connections. `endSilent` ends them, once a statement was not answered in time.
 *
 * A balancer without a server takes connections and closes them at once. The driver tries again in that very moment,
 * forever, and the statement waits. Ended with an error instead, it fails, and the next try waits for its turn.
 */
export function createSockets(graceMs: number): Sockets {
  const sockets = new Set<Socket>();
  let timer: NodeJS.Timeout | undefined;
  let turn = 0;

  return {
    connect({ host, port, path }, onOver) {
      for (const socket of sockets) if (socket.destroyed) sockets.delete(socket);
      const socket = new DriverSocket(onOver);
      sockets.add(socket);
      socket.once('end', () => {
        if (socket.bytesRead === 0) socket.destroy(closedAtOnce());
      });
      const patience = setTimeout(() => {
        if (socket.bytesRead === 0) socket.destroy(connectTimeout());
      }, CONNECT_TIMEOUT_MS);
      patience.unref();
      if (path) return socket.connect(path);
      const at = turn++ % host.length;
      const one = { host: host[at] ?? 'localhost', port: port[at] ?? 5432 };
      // The driver reads the host there: it is the name that a TLS certificate has to carry.
      return Object.assign(socket.connect(one), one);
    },

    endSilent() {
      if (timer !== undefined) return;
      const heard = [...sockets].map((socket) => [socket, socket.bytesRead] as const);
      timer = setTimeout(() => {
        timer = undefined;
        for (const [socket, bytesRead] of heard) if (socket.bytesRead === bytesRead) socket.destroy();
      }, graceMs);
      timer.unref();
    },
  };
}

function closedAtOnce(): Error {
  return Object.assign(new Error('the server closed the connection at once'), { code: 'ECONNRESET' });
}

function connectTimeout(): Error {
  const message = `the server did not answer in ${CONNECT_TIMEOUT_MS} ms`;
  return Object.assign(new Error(message), { code: 'CONNECT_TIMEOUT' });
}
