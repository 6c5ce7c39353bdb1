/*
 * The load generator, a process of its own: N connections, each sending the next request once the last is answered.
 * Requests are made before the clock starts. Told by one JSON message, answers with one.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import { mimeMail, plainMail, signedRequest } from './mails.ts';

export type LoadOrder = {
  port: number;
  path: string;
  secret: string;
  mail: 'plain' | 'mime';
  connections: number;
  requests: number;
};
export type LoadResult = { seconds: number; perSecond: number; p50Ms: number; p99Ms: number; failed: number };

process.on('message', async (order: LoadOrder) => process.send?.(await run(order)));

async function run(order: LoadOrder): Promise<LoadResult> {
  const requests = makeRequests(order);
  const latencies = new Float64Array(requests.length);
  let next = 0;
  let failed = 0;

  async function work(): Promise<void> {
    const socket = connect(order.port, '127.0.0.1').setNoDelay(true);
    await once(socket, 'connect');
    while (next < requests.length) {
      const at = next++;
      const startedMs = performance.now();
      socket.write(requests[at] ?? '');
      const answer = await readAnswer(socket);
      latencies[at] = performance.now() - startedMs;
      if (!answer.startsWith('HTTP/1.1 200') || !answer.includes('"accepted"')) {
        failed++;
        if (failed === 1) process.stderr.write(`${answer.slice(0, 500)}\n`);
      }
    }
    socket.destroy();
  }

  const startedMs = performance.now();
  await Promise.all(Array.from({ length: order.connections }, work));
  const seconds = (performance.now() - startedMs) / 1000;
  latencies.sort();
  const at = (share: number) =>
    latencies[Math.min(latencies.length - 1, Math.floor(share * latencies.length))] ?? 0;
  return { seconds, perSecond: requests.length / seconds, p50Ms: at(0.5), p99Ms: at(0.99), failed };
}

function makeRequests({ port, path, secret, mail, requests }: LoadOrder): Buffer[] {
  const make = mail === 'plain' ? plainMail : mimeMail;
  const run = randomBytes(5).toString('hex');
  const nowS = Math.floor(Date.now() / 1000);
  return Array.from({ length: requests }, (_, n) =>
    signedRequest({
      path,
      host: `127.0.0.1:${port}`,
      secret,
      id: `${run}${n.toString(16).padStart(6, '0')}`,
      mail: make(n),
      nowS,
    }),
  );
}

/** Answers are small and have a Content-Length: one read, or a few. */
function readAnswer(socket: ReturnType<typeof connect>): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const onData = (chunk: Buffer) => {
      text += chunk.toString('latin1');
      const headEnd = text.indexOf('\r\n\r\n');
      if (headEnd === -1) return;
      const length = Number(/content-length: (\d+)/i.exec(text)?.[1] ?? 0);
      if (text.length < headEnd + 4 + length) return;
      socket.off('data', onData).off('error', reject).off('close', onClose);
      resolve(text);
    };
    const onClose = () => reject(new Error('the connection closed'));
    socket.on('data', onData).on('error', reject).on('close', onClose);
  });
}
