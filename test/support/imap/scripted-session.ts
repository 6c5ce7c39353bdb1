import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { Handlers } from './scripted-commands.ts';

/** One connection to the scripted server. */
export type ScriptedSession = {
  state: 'greeted' | 'authenticated' | 'selected';
  isTls: boolean;
  socket: Socket;
  /** Lines, to each of which CR LF is added. */
  send(...lines: (string | Buffer)[]): void;
  /** Bytes as they are. Answers whether the client keeps up; false until `drained`. */
  write(bytes: string | Buffer): boolean;
  drained(): Promise<void>;
  /** Sends a line and gives the next line of the client, which is no command: DONE, or a step of SASL. */
  ask(line: string): Promise<string>;
  /** Goes on in TLS; bytes that came before are dropped, as they should be. */
  startTls(): Promise<void>;
  endAfterAnswer(): void;
  end(): void;
  reset(): void;
  closed: Promise<void>;
};

export function serveSession(
  plain: Socket,
  options: {
    handlers: Handlers;
    onCommand(command: string): void;
    tls: { key: string; cert: string } | undefined;
  },
): ScriptedSession {
  const closing = Promise.withResolvers<void>();
  let socket = plain;
  let received = '';
  let awaited: ((line: string) => void) | undefined;
  let isEnding = false;
  let wakeDrained: (() => void) | undefined;

  const session: ScriptedSession = {
    state: 'greeted',
    isTls: false,
    socket: plain,
    send(...lines) {
      for (const line of lines) session.write(Buffer.concat([Buffer.from(line), Buffer.from('\r\n')]));
    },
    write: (bytes) => !socket.writable || socket.write(bytes),
    drained() {
      if (!socket.writableNeedDrain) return Promise.resolve();
      return new Promise((resolve) => {
        wakeDrained = resolve;
      });
    },
    ask(line) {
      session.send(line);
      return new Promise((resolve) => {
        awaited = resolve;
        takeLines();
      });
    },
    async startTls() {
      if (options.tls === undefined) throw new Error('no certificate for STARTTLS');
      received = '';
      plain.removeAllListeners('data');
      const secured = new TLSSocket(plain, { isServer: true, ...options.tls });
      socket = secured;
      listen(secured);
      Object.assign(session, { isTls: true, socket: secured });
      await new Promise<void>((resolve) => secured.once('secure', resolve));
    },
    endAfterAnswer() {
      isEnding = true;
    },
    end: () => void socket.end(),
    reset: () => void plain.resetAndDestroy(),
    closed: closing.promise,
  };

  function listen(to: Socket): void {
    to.on('error', () => {});
    to.on('drain', () => wakeDrained?.());
    to.on('close', () => {
      wakeDrained?.();
      closing.resolve();
    });
    to.on('data', (bytes: Buffer) => {
      received += bytes.toString('latin1');
      takeLines();
    });
  }

  function takeLines(): void {
    for (;;) {
      const command = takeCommand();
      if (command === undefined) return;
      if (awaited !== undefined) {
        const resolve = awaited;
        awaited = undefined;
        resolve(command);
      } else void answer(command);
    }
  }

  /** A line, or several where literals `{n}` hold them together. */
  function takeCommand(): string | undefined {
    let at = 0;
    for (;;) {
      const end = received.indexOf('\r\n', at);
      if (end === -1) return undefined;
      const literal = /\{(\d+)(\+?)\}$/.exec(received.slice(at, end));
      if (literal === null) {
        const command = received.slice(0, end);
        received = received.slice(end + 2);
        return command;
      }
      const until = end + 2 + Number(literal[1]);
      // The client waits for a word, unless it wrote `{n+}`.
      if (literal[2] === '' && received.length === end + 2) session.send('+ go on');
      if (received.length < until) return undefined;
      at = until;
    }
  }

  async function answer(line: string): Promise<void> {
    const [, tag = '', first = '', rest = ''] = /^(\S+) (\S+) ?(.*)$/s.exec(line) ?? [];
    const isUid = first.toUpperCase() === 'UID';
    const [verb = '', ...others] = rest.split(' ');
    const name = isUid ? `UID ${verb.toUpperCase()}` : first.toUpperCase();
    const args = isUid ? others.join(' ') : rest;
    options.onCommand(`${tag} ${name} ${args}`.trimEnd());
    if (name === 'STARTTLS' && options.tls !== undefined && options.handlers.STARTTLS === undefined) {
      session.send(`${tag} OK go ahead`);
      return session.startTls();
    }
    const handler = options.handlers[name];
    const answered =
      handler == null ? `$tag BAD no such command` : await handler({ tag, name, args }, session);
    const lines = typeof answered === 'string' ? [answered] : (answered ?? []);
    session.send(...lines.map((one) => (typeof one === 'string' ? one.replace(/^\$tag/, tag) : one)));
    if (isEnding) session.end();
  }

  listen(plain);
  return session;
}
