import { once } from 'node:events';
import { connect } from 'node:net';

/** A connection on which a client can misbehave, as fetch cannot. */
export type RawConnection = {
  write(bytes: string | Uint8Array): Promise<void>;
  /** Resolves with all that has come, once it holds a whole head and as much body as that announces. */
  answer(): Promise<RawAnswer>;
  destroy(): void;
};

export type RawAnswer = { status: number; head: string; body: string };

/** @param isEager reads from the beginning; else nothing is read before `answer`, as by a client that writes first. */
export async function openRawConnection(address: string, { isEager = true } = {}): Promise<RawConnection> {
  const { hostname, port } = new URL(address);
  const socket = connect(Number(port), hostname);
  const failed = once(socket, 'error').then(([error]) => {
    throw error;
  });
  failed.catch(() => {});
  await Promise.race([once(socket, 'connect'), failed]);
  let received = '';
  const onData = (bytes: Buffer) => {
    received += bytes.toString('latin1');
  };
  if (isEager) socket.on('data', onData);

  return {
    write: (bytes) =>
      new Promise((resolve, reject) =>
        socket.write(bytes, (error) => (error == null ? resolve() : reject(error))),
      ),
    async answer() {
      if (!isEager) socket.on('data', onData);
      for (;;) {
        const answer = parseAnswer(received);
        if (answer !== undefined) return answer;
        const ended = once(socket, 'end').then(() => {
          throw new Error(`closed after ${JSON.stringify(received.slice(0, 200))}`);
        });
        ended.catch(() => {});
        await Promise.race([once(socket, 'data'), ended, failed]);
      }
    },
    destroy: () => void socket.destroy(),
  };
}

function parseAnswer(received: string): RawAnswer | undefined {
  const at = received.indexOf('\r\n\r\n');
  if (at === -1) return undefined;
  const head = received.slice(0, at);
  const body = received.slice(at + 4);
  const length = Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? 0);
  return body.length < length ? undefined : { status: Number(head.slice(9, 12)), head, body };
}

/** The head of a request, with its blank line. */
export function requestHead(method: string, url: string, headers: Record<string, string | number>): string {
  const { host, pathname } = new URL(url);
  const lines = Object.entries({ host, ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
  return `${method} ${pathname} HTTP/1.1\r\n${lines.join('')}\r\n`;
}

/** A chunk of a body in transfer-encoding chunked. */
export function chunkOf(bytes: string | Uint8Array): Buffer {
  const buffer = Buffer.from(bytes);
  return Buffer.concat([Buffer.from(`${buffer.length.toString(16)}\r\n`), buffer, Buffer.from('\r\n')]);
}
