/*
 * The load of `overload.ts`, in a process of its own: mails at a rate, whether the ones before were answered or not, of
 * sources in turn. Tells what became of each. What is refused is not sent again: there is more than enough that is new.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Connection } from './connection.ts';
import { plainMail, signedRequest } from './mails.ts';
import type { Target } from './variants.ts';

export type OverloadOrder = {
  targets: Target[];
  /** So many a second, or as many as `connections` carry. */
  perSecond?: number;
  connections: number;
  seconds: number;
};

export type OverloadResult = {
  seconds: number;
  /** The messages that were answered 200 `accepted`. */
  accepted: string[];
  acceptedMs: number[];
  refusedMs: number[];
  /** By status; of 503 and 429 without Retry-After as `bare`. */
  statuses: Record<string, number>;
  /** When each was accepted, in seconds since the beginning: how many in each. */
  acceptedBySecond: number[];
};

process.on('message', (order: OverloadOrder) => {
  run(order).then(
    (result) => process.send?.(result),
    (error: Error) => process.send?.({ error: error.message }),
  );
});

async function run({
  targets,
  perSecond,
  connections: count,
  seconds,
}: OverloadOrder): Promise<OverloadResult> {
  const free: Connection[] = [];
  const result: OverloadResult = {
    seconds: 0,
    accepted: [],
    acceptedMs: [],
    refusedMs: [],
    statuses: {},
    acceptedBySecond: [],
  };
  const runId = randomBytes(4).toString('hex');
  const nowS = Math.floor(Date.now() / 1000);
  const startedMs = performance.now();
  let made = 0;

  async function send(dueMs: number): Promise<void> {
    const n = made++;
    const { port, path, secret } = targets[n % targets.length] as Target;
    const id = `1${runId}${n.toString(16).padStart(7, '0')}`;
    const bytes = signedRequest({ path, host: `127.0.0.1:${port}`, secret, id, mail: plainMail(n), nowS });
    let connection = free.pop();
    while (connection !== undefined && !connection.isFresh) {
      connection.close();
      connection = free.pop();
    }
    try {
      connection ??= await Connection.open(port);
      note(await connection.send(bytes), performance.now() - dueMs);
      free.push(connection);
    } catch {
      tally('no answer');
    }
  }

  function tally(status: string): void {
    result.statuses[status] = (result.statuses[status] ?? 0) + 1;
  }

  function note(answer: string, ms: number): void {
    const status = answer.slice(9, 12);
    const messageId = /"status":"accepted","messageId":"(msg_\w+)"/.exec(answer)?.[1];
    if (messageId !== undefined) {
      const second = Math.floor((performance.now() - startedMs) / 1000);
      result.accepted.push(messageId);
      result.acceptedMs.push(ms);
      result.acceptedBySecond[second] = (result.acceptedBySecond[second] ?? 0) + 1;
    } else {
      result.refusedMs.push(ms);
    }
    tally(status);
    if ((status === '503' || status === '429') && !/^retry-after: \d/im.test(answer)) tally('bare');
  }

  const endsMs = startedMs + seconds * 1000;
  if (perSecond === undefined) {
    await Promise.all(
      Array.from({ length: count }, async () => {
        while (performance.now() < endsMs) await send(performance.now());
      }),
    );
  } else {
    const underWay = new Set<Promise<void>>();
    for (let at = 0; at < perSecond * seconds; at++) {
      const dueMs = startedMs + (at * 1000) / perSecond;
      while (performance.now() < dueMs) await sleep(Math.max(0, dueMs - performance.now()));
      const one = send(dueMs).finally(() => underWay.delete(one));
      underWay.add(one);
    }
    await Promise.all(underWay);
  }
  result.seconds = (performance.now() - startedMs) / 1000;
  for (const connection of free) connection.close();
  return result;
}
