import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

/** A client that knows no IMAP: it sends lines and looks at lines. */
export type ImapLines = AsyncDisposable & {
  socket: Socket;
  /** Lines so far, without CR LF. */
  lines: string[];
  send(line: string): void;
  /** The next line that matches, after those that `until` has answered before. */
  until(pattern: RegExp): Promise<string>;
  /** Sends a tagged command; answers its lines, the tagged one last. */
  command(text: string): Promise<string[]>;
  /** Resolves when the connection has ended; 'reset' when it was torn. */
  closed: Promise<'end' | 'reset'>;
};

export async function openImapLines(at: {
  host?: string;
  port: number;
  ca?: string;
  tls?: boolean;
  isNameChecked?: boolean;
}): Promise<ImapLines> {
  const { host = '127.0.0.1', port } = at;
  const socket =
    at.tls === true
      ? connectTls({
          host,
          port,
          servername: 'localhost',
          ...(at.ca !== undefined && { ca: at.ca }),
          ...(at.isNameChecked === false && { checkServerIdentity: () => undefined }),
        })
      : connect({ host, port, family: 4 });
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  let seen = 0;
  let rest = '';
  let tags = 0;
  let torn: Error | undefined;
  socket.on('error', (error) => {
    torn = error;
  });
  const closed = new Promise<'end' | 'reset'>((resolve) => {
    socket.on('close', () => {
      resolve(torn === undefined ? 'end' : 'reset');
      for (const wake of waiting) wake();
    });
  });
  socket.setEncoding('latin1').on('data', (chunk: string) => {
    const parts = (rest + chunk).split('\r\n');
    rest = parts.pop() ?? '';
    lines.push(...parts);
    for (const wake of waiting) wake();
  });
  await Promise.race([once(socket, at.tls === true ? 'secureConnect' : 'connect'), closed]);
  if (torn !== undefined) throw torn;

  async function until(pattern: RegExp): Promise<string> {
    for (;;) {
      while (seen < lines.length) {
        const line = lines[seen++] ?? '';
        if (pattern.test(line)) return line;
      }
      if (socket.closed)
        throw new Error(`the connection ended before ${pattern}: ${lines.slice(-5).join(' | ')}`);
      await new Promise<void>((resolve) => {
        const wake = () => {
          waiting.delete(wake);
          resolve();
        };
        waiting.add(wake);
      });
    }
  }

  return {
    socket,
    lines,
    send: (line) => void socket.write(`${line}\r\n`),
    until,
    async command(text) {
      const tag = `t${++tags}`;
      const from = seen;
      socket.write(`${tag} ${text}\r\n`);
      await until(new RegExp(`^${tag} `));
      return lines.slice(from, seen);
    },
    closed,
    async [Symbol.asyncDispose]() {
      socket.destroy();
      await closed;
    },
  };
}
