import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

/** A way to PostgreSQL on which the statements of our own processes are written down, as they are prepared. */
export type StatementRecorder = AsyncDisposable & {
  /** The server's URL by way of the recorder. */
  url: string;
  /** By their text: the OIDs of the parameters' types, 0 where the server is to find out. */
  statements: ReadonlyMap<string, readonly number[]>;
};

/** @param application whose connections are listened to, by their `application_name`. */
export async function startStatementRecorder(
  target: string,
  application: string,
): Promise<StatementRecorder> {
  const { hostname, port } = new URL(target);
  const statements = new Map<string, readonly number[]>();
  const sockets = new Set<Socket>();

  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname);
    const read = createMessageReader((text, types) => statements.set(text, types), application);
    client.on('data', read);
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(one);
      one.pipe(other);
      one.on('error', () => {});
      one.on('close', () => {
        sockets.delete(one);
        other.destroy();
      });
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const url = new URL(target);
  url.host = `127.0.0.1:${address.port}`;
  return {
    url: url.href,
    statements,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/**
 * Reads what a client sends (PostgreSQL, "Message Formats"): the startup message, which has no type, then messages of a type
 * and a length. Only Parse is looked into.
 */
function createMessageReader(
  onStatement: (text: string, types: number[]) => void,
  application: string,
): (bytes: Buffer) => void {
  let waiting = Buffer.alloc(0);
  let isStarted = false;
  let isOurs = false;
  return (bytes) => {
    waiting = Buffer.concat([waiting, bytes]);
    for (;;) {
      const head = isStarted ? 1 : 0;
      if (waiting.length < head + 4) return;
      const end = head + waiting.readUInt32BE(head);
      if (waiting.length < end) return;
      const body = waiting.subarray(head + 4, end);
      if (!isStarted) {
        isOurs = body.toString('utf8', 4).split('\0').join(' ').includes(`application_name ${application} `);
        isStarted = true;
      } else if (isOurs && waiting[0] === 'P'.charCodeAt(0)) {
        const textAt = body.indexOf(0) + 1;
        const textEnd = body.indexOf(0, textAt);
        const types = Array.from({ length: body.readUInt16BE(textEnd + 1) }, (_, index) =>
          body.readUInt32BE(textEnd + 3 + index * 4),
        );
        onStatement(body.toString('utf8', textAt, textEnd), types);
      }
      waiting = waiting.subarray(end);
    }
  };
}
