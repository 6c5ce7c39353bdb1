import type { CommandHandler } from './scripted-commands.ts';

/*
 * Handlers of a hostile or an overloaded server, for `startScriptedServer({ handlers: { LOGIN: answerNo(...) } })`.
 */

/** Words with which providers say "later" rather than "wrong": none of them is about the password. */
export const THROTTLE_ANSWERS = [
  'NO [LIMIT] Too many simultaneous connections',
  'NO [UNAVAILABLE] Temporary failure',
  'NO [INUSE] Mailbox is locked',
  'BAD User is authenticated but not connected.',
  'NO [ALERT] Too many simultaneous connections. (Failure)',
] as const;

export const AUTHENTICATION_FAILED = 'NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)';

/** The answer after the tag, as in `NO [LIMIT] later`. */
export function answerWith(text: string): CommandHandler {
  return () => `$tag ${text}`;
}

/** The command stays without an answer. */
export const neverAnswer: CommandHandler = () => undefined;

/** First these lines that nobody asked for, then what the other handler says. */
export function withForged(lines: readonly (string | Buffer)[], handler: CommandHandler): CommandHandler {
  return async (command, session) => {
    session.send(...lines);
    return handler(command, session);
  };
}

/** So many `* n EXISTS` in place of an answer, counting up. */
export function existsStorm(count: number): CommandHandler {
  return async (_command, session) => {
    for (let at = 1; at <= count && session.socket.writable; at++)
      if (!session.write(`* ${at} EXISTS\r\n`)) await session.drained();
    return '$tag OK done';
  };
}

/** One line of so many bytes, sent as fast as the client reads it: memory here stays small. */
export function longLine(sizeBytes: number, start = '* OK '): CommandHandler {
  return async (_command, session) => {
    const piece = Buffer.alloc(64 * 1024, 'x');
    session.write(start);
    for (let sent = 0; sent < sizeBytes && session.socket.writable; sent += piece.length)
      if (!session.write(piece)) await session.drained();
    return ['', '$tag OK done'];
  };
}

/** A literal of so many bytes in a FETCH row, of which `sentBytes` come. */
export function hugeLiteral(announcedBytes: number, sentBytes: number, uid = 1): CommandHandler {
  return async (_command, session) => {
    const piece = Buffer.alloc(64 * 1024, 'x');
    session.write(`* 1 FETCH (UID ${uid} BODY[] {${announcedBytes}}\r\n`);
    for (let sent = 0; sent < sentBytes && session.socket.writable; sent += piece.length)
      if (!session.write(piece)) await session.drained();
    return undefined;
  };
}

/**
 * STARTTLS whose answer comes in one piece with lines in clear text, as one who sits between would add them
 * (CVE-2011-0411): a client must not take them for the server's once TLS has begun.
 */
export function startTlsWithInjection(lines: readonly string[]): CommandHandler {
  return async ({ tag }, session) => {
    session.write([`${tag} OK go ahead`, ...lines].map((line) => `${line}\r\n`).join(''));
    await session.startTls();
    return undefined;
  };
}
