import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { type CommandHandler, type Handlers, minimalHandlers } from './scripted-commands.ts';
import { createScriptedMailbox, type ScriptedMail, type ScriptedMailbox } from './scripted-mailbox.ts';
import { type ScriptedSession, serveSession } from './scripted-session.ts';

export type { CommandHandler, Handlers, ScriptedMail, ScriptedSession };

/** An IMAP server that does what a test says, for what no real one would do. */
export type ScriptedServer = AsyncDisposable & {
  host: string;
  port: number;
  mailbox: ScriptedMailbox;
  /** Changed at will while it runs; null takes a command away, so that it is answered BAD. */
  handlers: Handlers;
  /** Every command so far, `tag NAME args`, of all sessions. */
  commands: string[];
  sessions(): ScriptedSession[];
  sessionsMade(): number;
  /** Resolves once a command that matches has come, from the start or later. */
  heard(pattern: RegExp): Promise<string>;
  /** Sends these lines to every open session, asked for or not. */
  say(...lines: (string | Buffer)[]): void;
  /** A mail arrives: EXISTS to every session that has the mailbox selected. Answers its UID. */
  arrive(mail: ScriptedMail): number;
  stop(): Promise<void>;
};

export type ScriptedOptions = {
  /** The first line, or none with null; `* PREAUTH`, `* BYE` as a test likes. */
  greeting?: string | null;
  capability?: string;
  /** Of INBOX. */
  mails?: readonly ScriptedMail[];
  uidValidity?: number;
  /** By command name in capitals, as `UID FETCH`; over the usual ones. */
  handlers?: Handlers;
  /** For STARTTLS, as PEM; without it the command is answered BAD and not advertised. */
  tls?: { key: string; cert: string };
  onConnection?: (session: ScriptedSession) => void;
};

const CAPABILITY = 'IMAP4rev1 ID ENABLE IDLE NAMESPACE UIDPLUS SPECIAL-USE LIST-STATUS AUTH=PLAIN SASL-IR';

export async function startScriptedServer(options: ScriptedOptions = {}): Promise<ScriptedServer> {
  const mailbox = createScriptedMailbox(options.mails ?? [], options.uidValidity ?? 1);
  const capability = options.capability ?? `${CAPABILITY}${options.tls === undefined ? '' : ' STARTTLS'}`;
  const handlers: Handlers = { ...minimalHandlers(mailbox, capability), ...options.handlers };
  const greeting =
    options.greeting === undefined ? `* OK [CAPABILITY ${capability}] ready` : options.greeting;
  const sessions = new Set<ScriptedSession>();
  const sockets = new Set<Socket>();
  const commands: string[] = [];
  const wishes = new Set<{ pattern: RegExp; resolve: (command: string) => void }>();
  let made = 0;

  function onCommand(command: string): void {
    commands.push(command);
    for (const wish of wishes)
      if (wish.pattern.test(command)) {
        wishes.delete(wish);
        wish.resolve(command);
      }
  }

  const server = createServer((socket) => {
    made++;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    const session = serveSession(socket, { handlers, onCommand, tls: options.tls });
    sessions.add(session);
    void session.closed.then(() => sessions.delete(session));
    options.onConnection?.(session);
    if (greeting !== null) session.send(greeting);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');

  async function stop(): Promise<void> {
    const closed = server.listening ? once(server, 'close') : undefined;
    server.close();
    for (const socket of sockets) socket.destroy();
    await closed;
  }

  return {
    host: '127.0.0.1',
    port: address.port,
    mailbox,
    handlers,
    commands,
    sessions: () => [...sessions],
    sessionsMade: () => made,
    heard(pattern) {
      const before = commands.find((command) => pattern.test(command));
      if (before !== undefined) return Promise.resolve(before);
      return new Promise((resolve) => wishes.add({ pattern, resolve }));
    },
    say(...lines) {
      for (const session of sessions) session.send(...lines);
    },
    arrive(mail) {
      const uid = mailbox.add(mail);
      for (const session of sessions)
        if (session.state === 'selected') session.send(`* ${mailbox.mails.length} EXISTS`);
      return uid;
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}
