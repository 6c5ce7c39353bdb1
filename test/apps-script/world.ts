import { once } from 'node:events';
import { MessageChannel, receiveMessageOnPort, Worker } from 'node:worker_threads';
import type { PushSource } from '../support/service.ts';
import type { HttpAnswer, HttpRequest, Operations } from './world-worker.ts';

/** A Gmail and a Mailgress, asked without letting go of the thread, on one virtual clock. */
export type World = AsyncDisposable & {
  /** Where the service listens. */
  address: string;
  /** The largest body that it takes. */
  bodyLimitBytes: number;
  clock: Clock;
  http(request: HttpRequest): HttpAnswer;
  /** A mailbox of this address with a source. */
  addSource(address: string): PushSource & { mailboxId: string };
  // biome-ignore lint/suspicious/noExplicitAny: rows of any table
  sql(text: string): any[];
  /** What is noted of sources but not yet written, is. */
  flush(): void;
};

/** In ms since 1970; moves only when it is told to. */
export type Clock = { now: number };

/** For any one answer: generous, as other work shares the machine. */
const PATIENCE_MS = 60_000;

/** @param accounts the mailboxes there are in Gmail. */
export async function startWorld(
  accounts: string[],
  { startsAt = Date.UTC(2026, 0, 5, 8), bodyLimitBytes = 4 * 1024 * 1024 } = {},
): Promise<World> {
  const time = new Float64Array(new SharedArrayBuffer(8));
  const signal = new Int32Array(new SharedArrayBuffer(4));
  time[0] = startsAt;
  const { port1: port, port2 } = new MessageChannel();
  const worker = new Worker(new URL('./world-worker.ts', import.meta.url), {
    workerData: { time, signal, accounts, bodyLimitBytes, port: port2 },
    transferList: [port2],
  });
  const [{ value }] = await Promise.race([
    once(port, 'message'),
    once(worker, 'error').then(([error]) => Promise.reject(error)),
  ]);

  function ask<K extends keyof Operations>(
    operation: K,
    argument?: Parameters<Operations[K]>[0],
  ): Awaited<ReturnType<Operations[K]>> {
    Atomics.store(signal, 0, 0);
    port.postMessage({ operation, argument });
    // Again and again: it may be woken by the end of the answer before.
    while (Atomics.load(signal, 0) === 0) {
      if (Atomics.wait(signal, 0, 0, PATIENCE_MS) === 'timed-out') throw new Error(`${operation}: no answer`);
    }
    // By hand: an event would come only once this thread lets go.
    const received = receiveMessageOnPort(port);
    if (received === undefined) throw new Error(`${operation}: an answer without words`);
    if (received.message.error !== undefined) throw new Error(received.message.error);
    return received.message.value;
  }

  return {
    address: value.address,
    bodyLimitBytes,
    clock: {
      get now() {
        return time[0] ?? 0;
      },
      set now(ms) {
        time[0] = ms;
      },
    },
    http: (request) => ask('http', request),
    addSource: (address) => ask('source', address),
    sql: (text) => ask('sql', text),
    flush: () => void ask('flush'),
    async [Symbol.asyncDispose]() {
      const ended = once(worker, 'exit');
      port.postMessage({ operation: 'stop' });
      await ended;
      port.close();
    },
  };
}
