import { connect, type Socket } from 'node:net';
import type { Fault } from './fault.ts';
import { createImapScanner } from './imap-scanner.ts';
import { createLinkCommands, type LinkCommands, type Refusals } from './link-commands.ts';

/** One client's connection by way of the proxy. */
export type FaultLink = {
  /** The first is 1. */
  number: number;
  client: Socket;
  commands: LinkCommands;
  fault(): Fault;
  set(fault: Fault): void;
  cut(how: 'end' | 'reset'): void;
};

export type LinkOptions = {
  number: number;
  target: { host: string; port: number };
  fault: Fault;
  refusals: Refusals;
  logins: { tried: number; seen: number };
  /** Lines and literals are followed; else only bytes are. */
  isImap: boolean;
  onServerLine(line: string, link: FaultLink): void;
  onClose(link: FaultLink): void;
};

export function openFaultLink(client: Socket, options: LinkOptions): FaultLink {
  // Test servers listen by IPv4.
  const upstream = connect({ ...options.target, family: 4 });
  const scanner = createImapScanner();
  let fault: Fault = { kind: 'pass' };
  let bytesUntilCut = Number.POSITIVE_INFINITY;
  let hasServerEnded = false;
  let isOver = false;
  let timer: NodeJS.Timeout | undefined;
  /** What is sent in order, each after what was before. */
  let toClient = Promise.resolve();
  let toServer = Promise.resolve();

  const commands = createLinkCommands({
    isImap: options.isImap,
    refusals: options.refusals,
    logins: options.logins,
    answer: (text) => void client.write(text),
  });
  const link: FaultLink = { number: options.number, client, commands, fault: () => fault, set, cut };

  client.on('error', () => {});
  upstream.on('error', () => {});
  client.on('data', (bytes) => {
    if (fault.kind === 'half-open') return;
    const forwarded = commands.fromClient(bytes);
    toServer = toServer.then(() => passOn(forwarded, upstream, client));
  });
  upstream.on('data', (bytes) => {
    toClient = toClient.then(() => passOn(bytes, client, upstream));
  });
  upstream.on('close', () => {
    hasServerEnded = true;
    toClient = toClient.then(() => {
      if (!isHolding()) client.end();
    });
  });
  client.on('close', () => {
    isOver = true;
    clearTimeout(timer);
    upstream.destroy();
    options.onClose(link);
  });
  set(options.fault);

  function isHolding(): boolean {
    const holding = ['black-hole', 'half-open', 'endless-literal', 'endless-line'];
    return holding.includes(fault.kind) || (fault.kind === 'greeting' && fault.afterMs === 'never');
  }

  function set(changed: Fault): void {
    if (isOver) return;
    fault = changed;
    clearTimeout(timer);
    timer = undefined;
    if (fault.kind === 'black-hole') for (const socket of [client, upstream]) socket.pause();
    else for (const socket of [client, upstream]) socket.resume();
    if (fault.kind === 'greeting') {
      upstream.pause();
      if (fault.afterMs !== 'never') timer = setTimeout(() => set({ kind: 'pass' }), fault.afterMs);
    }
    if (fault.kind === 'half-open') upstream.destroy();
    if (fault.kind === 'pass' && hasServerEnded) client.end();
    bytesUntilCut = fault.kind === 'cut' ? (fault.afterServerBytes ?? 0) : Number.POSITIVE_INFINITY;
    if (fault.kind === 'cut' && bytesUntilCut === 0) cut(fault.how);
    const isMidLine = fault.kind === 'inject' && fault.at === 'anywhere';
    if (commands.isOpaque() || (scanner.isAtBoundary() && !isMidLine)) strike();
  }

  async function passOn(bytes: Buffer, to: Socket, from: Socket): Promise<void> {
    if (fault.kind === 'slow') {
      const { bytesPerSecond = Number.POSITIVE_INFINITY, delayMs = 0 } = fault;
      from.pause();
      await pause(delayMs);
      const atOnce = to === client ? Math.max(1, Math.ceil(bytesPerSecond / 50)) : bytes.length;
      for (let at = 0; at < bytes.length && !isOver; at += atOnce) {
        send(bytes.subarray(at, at + atOnce), to);
        if (to === client && at + atOnce < bytes.length) await pause(1000 / 50);
      }
      if (!isOver && fault.kind === 'slow') from.resume();
    } else send(bytes, to);
  }

  function pause(ms: number): Promise<void> {
    return new Promise((resolve) => (ms === 0 ? resolve() : setTimeout(resolve, ms)));
  }

  function send(bytes: Buffer, to: Socket): void {
    if (isOver) return;
    if (to === client) sendToClient(bytes);
    else if (!hasServerEnded) upstream.write(bytes);
  }

  function sendToClient(bytes: Buffer): void {
    const isFollowed = options.isImap && !commands.isOpaque();
    const { lines, boundaries } = isFollowed ? scanner.feed(bytes) : { lines: [], boundaries: [] };
    const [boundary] = boundaries;
    const strikesAt = fault.kind === 'inject' && fault.at === 'anywhere' ? 1 : boundary;
    for (const line of lines) {
      commands.fromServer(line);
      options.onServerLine(line, link);
    }
    if (strikesAt !== undefined && isInjected(fault)) {
      client.write(bytes.subarray(0, strikesAt));
      strike();
      if (!isHolding() && !client.writableEnded) client.write(bytes.subarray(strikesAt));
      return;
    }
    if (fault.kind === 'endless-literal' || fault.kind === 'endless-line')
      // Nothing of the server's fits into what goes on for ever, once it has begun.
      return void (timer === undefined && client.write(bytes));
    if (bytes.length < bytesUntilCut) {
      bytesUntilCut -= bytes.length;
      client.write(bytes);
    } else if (fault.kind === 'cut') {
      const { how } = fault;
      client.write(bytes.subarray(0, bytesUntilCut), () => cut(how));
    }
  }

  /** Sends what the fault puts between two responses. */
  function strike(): void {
    if (fault.kind === 'inject') {
      client.write(fault.bytes);
      fault = { kind: 'pass' };
    } else if (fault.kind === 'bye') {
      client.end(`* BYE ${fault.text ?? 'Server shutting down.'}\r\n`);
    } else if (fault.kind === 'endless-literal' || fault.kind === 'endless-line') {
      // It has begun: one is without end already.
      if (timer !== undefined) return;
      const { kind, bytes = 1000, everyMs = 10 } = fault;
      client.write(kind === 'endless-line' ? '* OK ' : '* 1 FETCH (UID 1 BODY[] {999999999}\r\n');
      timer = setInterval(() => client.writableNeedDrain || client.write('x'.repeat(bytes)), everyMs);
    }
  }

  function cut(how: 'end' | 'reset'): void {
    if (how === 'end') client.end();
    // Of one whose end is on its way libuv takes no reset, and Node would never close it.
    else if (client.writableEnded) client.destroy();
    else client.resetAndDestroy();
    upstream.destroy();
  }

  return link;
}

function isInjected(fault: Fault): boolean {
  return ['inject', 'bye', 'endless-literal', 'endless-line'].includes(fault.kind);
}
