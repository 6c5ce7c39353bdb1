/*
 * The load generator, a process of its own: told by one message what to send, it answers with one. Requests are made
 * before the clock starts.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Connection } from './connection.ts';
import { mimeMail, plainMail, pushRequest, signedRequest } from './mails.ts';

export type LoadOrder = {
  port: number;
  path: string;
  /** The source's, or the token of pushes. */
  secret: string;
  /** What a request brings: a mail, or a push of Gmail. */
  mail: 'plain' | 'mime' | 'push';
  connections: number;
  requests: number;
  /** So many a second, whether answered or not. Without it, each connection sends the next once the last is answered. */
  perSecond?: number;
};
const TURNED_AWAY_MS = 250;

export type LoadResult = {
  perSecond: number;
  p50Ms: number;
  p99Ms: number;
  failed: number;
  /** When each mail was due: provider id, and nanoseconds of the machine's monotonic clock. */
  sent: [string, string][];
};

process.on('message', (order: LoadOrder) => {
  run(order).then(
    (result) => process.send?.(result),
    (error: Error) => process.send?.({ error: error.message }),
  );
});

async function run(order: LoadOrder): Promise<LoadResult> {
  const requests = makeRequests(order);
  const sent: [string, string][] = [];
  const latencies = new Float64Array(requests.length);
  const connections = await Promise.all(
    Array.from({ length: order.connections }, () => Connection.open(order.port)),
  );
  let next = 0;
  let failed = 0;

  async function sendNext(connection: Connection, dueMs = performance.now()): Promise<void> {
    const at = next++;
    const { id, bytes } = requests[at] ?? { id: '', bytes: Buffer.of() };
    if (order.perSecond !== undefined) sent.push([id, String(nanosecondsAt(dueMs))]);
    let answer = await connection.send(bytes);
    // As a client would, that is told to come again: the wait counts.
    while (order.perSecond === undefined && answer.startsWith('HTTP/1.1 503')) {
      await sleep(TURNED_AWAY_MS);
      answer = await connection.send(bytes);
    }
    latencies[at] = performance.now() - dueMs;
    if (order.mail === 'push' && answer.startsWith('HTTP/1.1 204')) return;
    if (answer.startsWith('HTTP/1.1 200') && answer.includes('"accepted"')) return;
    failed++;
    if (failed === 1) process.stderr.write(`${answer.slice(0, 500)}\n`);
  }

  /** A request that is due is sent, however many others wait for their answer; its time runs from when it was due. */
  async function sendOnFree(dueMs: number): Promise<void> {
    let connection = connections.pop();
    while (connection !== undefined && !connection.isFresh) {
      connection.close();
      connection = connections.pop();
    }
    connection ??= await Connection.open(order.port);
    await sendNext(connection, dueMs);
    connections.push(connection);
  }

  const startedMs = performance.now();
  if (order.perSecond === undefined) {
    await Promise.all(
      connections.map(async (connection) => {
        while (next < requests.length) await sendNext(connection);
      }),
    );
  } else {
    const underWay: Promise<void>[] = [];
    for (let at = 0; at < requests.length; at++) {
      const dueMs = startedMs + (at * 1000) / order.perSecond;
      while (performance.now() < dueMs) await sleep(Math.max(0, dueMs - performance.now()));
      underWay.push(sendOnFree(dueMs));
    }
    await Promise.all(underWay);
  }
  const seconds = (performance.now() - startedMs) / 1000;
  for (const connection of connections) connection.close();
  return {
    perSecond: requests.length / seconds,
    p50Ms: quantile(latencies, 0.5),
    p99Ms: quantile(latencies, 0.99),
    failed,
    sent,
  };
}

/** A time of performance.now() on the clock that all processes of the machine share. */
function nanosecondsAt(ms: number): bigint {
  return process.hrtime.bigint() - BigInt(Math.round((performance.now() - ms) * 1e6));
}

function quantile(values: Float64Array, share: number): number {
  return values.toSorted()[Math.min(values.length - 1, Math.floor(share * values.length))] ?? Number.NaN;
}

function makeRequests({ port, path, secret, mail, requests }: LoadOrder): { id: string; bytes: Buffer }[] {
  const host = `127.0.0.1:${port}`;
  if (mail === 'push') {
    return Array.from({ length: requests }, (_, n) => ({
      id: String(n),
      bytes: pushRequest({ path, host, token: secret, n }),
    }));
  }
  const make = mail === 'plain' ? plainMail : mimeMail;
  const run = randomBytes(5).toString('hex');
  const nowS = Math.floor(Date.now() / 1000);
  return Array.from({ length: requests }, (_, n) => {
    // A Gmail id in its canonical form: hex without leading zeros.
    const id = `1${run}${n.toString(16).padStart(6, '0')}`;
    const mail = make(n);
    return { id, bytes: signedRequest({ path, host, secret, id, mail, nowS }) };
  });
}
