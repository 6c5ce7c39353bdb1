import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import type { Random } from '../random.ts';
import { type Chaos, startChaos } from './chaos.ts';
import type { Fault } from './fault.ts';
import { type FaultLink, openFaultLink } from './fault-link.ts';
import type { Refusals } from './link-commands.ts';

export type { Fault, FaultKind } from './fault.ts';

/** A line of the server's as it passes. `atMs` is of `performance.now()`. */
export type ServerLine = { connection: number; line: string; atMs: number };

/** Who suffers a fault: connections there are, those to come, both, or the nth ever made (1 is the first). */
export type Scope = 'all' | 'open' | 'new' | number;

export type ProxyConnection = {
  number: number;
  /** The client's own port, `localPort` of its socket. */
  clientPort: number;
  isIdling: boolean;
  hasLoggedIn: boolean;
  commands: readonly string[];
  fault: Fault;
};

/** The network between a client and its IMAP server, and the ways in which it fails. */
export type FaultProxy = AsyncDisposable & {
  host: string;
  port: number;
  set(fault: Fault, scope?: Scope): void;
  /** Nobody listens: new connections are refused; those there are stay. And as before again. */
  refuse(): void;
  accept(): Promise<void>;
  /** The server is not asked: the client gets this answer, 'BAD Unknown command' unless told. */
  refuseCommand(name: string, answer?: string): void;
  allowCommand(name: string): void;
  /** Connections that are there; and how many were ever made, of which those that nobody listened to are none. */
  connections(): ProxyConnection[];
  connectionsMade(): number;
  /** How many of them have logged in, or tried to. */
  loginsSeen(): number;
  loginsTried(): number;
  /** Resolves once so many connections idle. */
  idling(count?: number): Promise<void>;
  /** Resolves once so many connections were made, from the start. */
  connected(count: number): Promise<void>;
  /** Calls back for each line, or each `* n EXISTS`; answers what ends it. */
  onLine(listen: (line: ServerLine) => void): () => void;
  onExists(listen: (line: ServerLine & { count: number }) => void): () => void;
  /** Random faults, some `perSecond` of them, until it is stopped. */
  chaos(random: Random, perSecond: number, kinds?: readonly Fault[]): Chaos;
  close(): Promise<void>;
};

/**
 * @param target Its clear text port for faults that know of IMAP; `isImap: false` for its TLS port, where the bytes alone
 *   are known, and faults that wait for the end of a response strike at once.
 */
export async function startFaultProxy(
  target: { host: string; port: number },
  { isImap = true } = {},
): Promise<FaultProxy> {
  const links = new Set<FaultLink>();
  const refusals: Refusals = new Map();
  const listeners = new Set<(line: ServerLine) => void>();
  const nth = new Map<number, Fault>();
  const wishes = new Set<{ isMet: () => boolean; resolve: () => void }>();
  const logins = { tried: 0, seen: 0 };
  let faultOfNew: Fault = { kind: 'pass' };
  let made = 0;
  let server: Server | undefined;

  const settle = () => {
    for (const wish of wishes) {
      if (!wish.isMet()) continue;
      wishes.delete(wish);
      wish.resolve();
    }
  };

  function until(isMet: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      wishes.add({ isMet, resolve });
      settle();
    });
  }

  function onServerLine(line: string, link: FaultLink): void {
    const tapped = { connection: link.number, line, atMs: performance.now() };
    for (const listen of listeners) listen(tapped);
    settle();
  }

  async function listen(at: number): Promise<number> {
    const opened = createServer((client) => {
      const number = ++made;
      const fault = nth.get(number) ?? faultOfNew;
      const link = openFaultLink(client, {
        ...{ number, target, fault, refusals, isImap, onServerLine, logins },
        onClose(closed) {
          links.delete(closed);
          settle();
        },
      });
      links.add(link);
      settle();
    });
    server = opened;
    opened.listen(at, '127.0.0.1');
    await once(opened, 'listening');
    const address = opened.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    return address.port;
  }

  function refuse(): void {
    server?.close();
    server = undefined;
  }

  const port = await listen(0);

  const proxy: FaultProxy = {
    host: 'localhost',
    port,
    set(fault, scope = 'all') {
      if (typeof scope === 'number') {
        nth.set(scope, fault);
        for (const link of links) if (link.number === scope) link.set(fault);
        return;
      }
      if (scope !== 'open') faultOfNew = fault;
      if (scope !== 'new') for (const link of links) link.set(fault);
    },
    refuse,
    async accept() {
      if (server === undefined) await listen(port);
    },
    refuseCommand: (name, answer = 'BAD Unknown command') => void refusals.set(name.toUpperCase(), answer),
    allowCommand: (name) => void refusals.delete(name.toUpperCase()),
    connections: () => [...links].map(describe),
    connectionsMade: () => made,
    loginsSeen: () => logins.seen,
    loginsTried: () => logins.tried,
    idling: (count = 1) =>
      until(() => [...links].filter(({ commands }) => commands.isIdling()).length >= count),
    connected: (count) => until(() => made >= count),
    onLine(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    onExists(listener) {
      return proxy.onLine((line) => {
        const count = /^\* (\d+) EXISTS$/i.exec(line.line)?.[1];
        if (count !== undefined) listener({ ...line, count: Number(count) });
      });
    },
    chaos: (random, perSecond, kinds) => startChaos({ links, random, perSecond, ...(kinds && { kinds }) }),
    async close() {
      refuse();
      for (const link of links) link.client.destroy();
      await until(() => links.size === 0);
    },
    [Symbol.asyncDispose]: () => proxy.close(),
  };
  return proxy;
}

function describe({ number, client, commands, fault }: FaultLink): ProxyConnection {
  return {
    number,
    clientPort: client.remotePort ?? 0,
    isIdling: commands.isIdling(),
    hasLoggedIn: commands.hasLoggedIn(),
    commands: commands.names(),
    fault: fault(),
  };
}
