import { createImapScanner } from './imap-scanner.ts';

/** Commands that the proxy answers itself, in capitals, and what it says after the tag. */
export type Refusals = Map<string, string>;

/** What the client of one connection asks for, as the proxy sees it. */
export type LinkCommands = {
  /** Takes what the client sent, and gives back what the server is to get. */
  fromClient(bytes: Buffer): Buffer;
  fromServer(line: string): void;
  /** Under TLS nothing can be followed. */
  isOpaque(): boolean;
  /** The server has said that it listens to IDLE, and the client has not said DONE. */
  isIdling(): boolean;
  hasLoggedIn(): boolean;
  /** The commands' names so far, as `UID FETCH`. */
  names(): readonly string[];
};

export function createLinkCommands(options: {
  isImap: boolean;
  refusals: Refusals;
  /** Of all connections together. */
  logins: { tried: number; seen: number };
  answer(text: string): void;
}): LinkCommands {
  const scanner = createImapScanner();
  const names: string[] = [];
  let isOpaque = !options.isImap;
  let isIdling = false;
  let hasLoggedIn = false;
  /** Tags of commands whose answer changes what we know. */
  let idleTag: string | undefined;
  let startTlsTag: string | undefined;
  let loginTag: string | undefined;
  /** The start of a command, until it has a line to tell which. */
  let held = Buffer.alloc(0);
  /** The server has the first part of a command that is not over. */
  let isInCommand = false;

  /** Whether the server is to hear of it. */
  function isForwarded(line: string): boolean {
    if (line.toUpperCase() === 'DONE') {
      isIdling = false;
      return true;
    }
    const [tag = '', first = '', second = ''] = line.split(' ');
    const name = (first.toUpperCase() === 'UID' ? `${first} ${second}` : first).toUpperCase();
    // A line of a SASL exchange has one word.
    if (name === '') return true;
    const refusal = options.refusals.get(name);
    names.push(name);
    if (refusal !== undefined) {
      options.answer(`${tag} ${refusal}\r\n`);
      return false;
    }
    if (name === 'IDLE') idleTag = tag;
    if (name === 'STARTTLS') startTlsTag = tag;
    if (name === 'LOGIN' || name === 'AUTHENTICATE') {
      loginTag = tag;
      options.logins.tried++;
    }
    return true;
  }

  return {
    isOpaque: () => isOpaque,
    isIdling: () => isIdling,
    hasLoggedIn: () => hasLoggedIn,
    names: () => names,
    fromClient(bytes) {
      if (isOpaque) return bytes;
      const all = Buffer.concat([held, bytes]);
      const forwarded: Buffer[] = [];
      let from = 0;
      const { lines, boundaries } = scanner.feed(bytes);
      for (const boundary of boundaries) {
        const command = all.subarray(from, boundary + held.length);
        from = boundary + held.length;
        if (isInCommand || isForwarded(firstLine(command))) forwarded.push(command);
        isInCommand = false;
      }
      held = all.subarray(from);
      // A client that sends a literal waits for the server to say go on: it has to hear of it.
      const announces = lines.length > boundaries.length;
      if (isInCommand || (announces && isForwarded(firstLine(held)))) {
        isInCommand = true;
        forwarded.push(held);
        held = Buffer.alloc(0);
      }
      return Buffer.concat(forwarded);
    },
    fromServer(line) {
      if (line.startsWith('+') && idleTag !== undefined) isIdling = true;
      const [tag = '', status = ''] = line.split(' ');
      if (tag === idleTag) {
        idleTag = undefined;
        isIdling = false;
      }
      if (tag === startTlsTag && status === 'OK') isOpaque = true;
      if (tag === loginTag && status === 'OK') {
        hasLoggedIn = true;
        options.logins.seen++;
      }
    },
  };
}

function firstLine(command: Buffer): string {
  return command.toString('latin1').split(/\r?\n/, 1)[0] ?? '';
}
