/*
 * npm run bench -- feed: a thousand clients that follow the log as a stream. What memory they take, and how long it takes
 * from the answer to a mail until the last of them has its event. The clients are raw sockets in a process of their own.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FeedClientsOrder, FeedClientsReport } from './feed-clients.ts';
import type { LoadOrder, LoadResult } from './load.ts';
import { BENCH_TOKEN, cpuMs, endProcess, residentMb, startMailgress } from './variants.ts';

export type FeedFigures = {
  clients: number;
  idleMb: number;
  followedMb: number;
  /** Right after the last event, and once garbage has been collected. */
  peakMb: number;
  afterMb: number;
  events: number;
  /** From the mail's request to its event at the last client. */
  lastP50Ms: number;
  lastP99Ms: number;
  lastMaxMs: number;
  firstP50Ms: number;
  nodeMsAnEvent: number;
};

/** V8 gives memory back after some seconds of rest. */
const SETTLE_MS = 15_000;

export async function measureFeed(tools: {
  createDatabase: (name: string) => Promise<string>;
  send: (order: LoadOrder) => Promise<LoadResult>;
  isQuick: boolean;
  note: (text: string) => void;
}): Promise<FeedFigures> {
  const { send, note } = tools;
  const count = 1000;
  const events = tools.isQuick ? 20 : 100;
  const variant = await startMailgress('feed', await tools.createDatabase('feed'), []);
  const clients = fork(new URL('feed-clients.ts', import.meta.url));
  try {
    note('feed: warming up ...');
    await send({ ...variant.target, mail: 'plain', connections: 4, requests: 500 });
    await sleep(SETTLE_MS);
    const idleMb = await residentMb(variant.child);
    note(`feed: ${count} clients ...`);
    clients.send({ port: variant.target.port, token: BENCH_TOKEN, count } satisfies FeedClientsOrder);
    await once(clients, 'message');
    await sleep(SETTLE_MS);
    const followedMb = await residentMb(variant.child);
    const cpuBefore = await cpuMs(variant.child);
    note(`feed: ${events} events ...`);
    const { sent } = await send({
      ...variant.target,
      mail: 'plain',
      connections: 1,
      requests: events,
      perSecond: 4,
    });
    const report = await takeReport(clients, count * events);
    const nodeMsAnEvent = ((await cpuMs(variant.child)) - cpuBefore) / events;
    const arrivals = new Map(report.arrivals.map((one) => [one.id, one]));
    const since = (read: (arrival: { firstNs: string; lastNs: string }) => string) =>
      sent
        .map(([id, sentNs]) => {
          const arrival = arrivals.get(id);
          return arrival === undefined ? Number.NaN : Number(BigInt(read(arrival)) - BigInt(sentNs)) / 1e6;
        })
        .sort((a, b) => a - b);
    const last = since(({ lastNs }) => lastNs);
    const peakMb = await residentMb(variant.child);
    await sleep(SETTLE_MS);
    const at = (all: number[], share: number) => all[Math.floor(share * all.length)] ?? Number.NaN;
    return {
      clients: count,
      idleMb,
      followedMb,
      peakMb,
      afterMb: await residentMb(variant.child),
      events,
      lastP50Ms: at(last, 0.5),
      lastP99Ms: at(last, 0.99),
      lastMaxMs: last.at(-1) ?? Number.NaN,
      firstP50Ms: at(
        since(({ firstNs }) => firstNs),
        0.5,
      ),
      nodeMsAnEvent,
    };
  } finally {
    clients.kill();
    await endProcess(variant.child);
  }
}

async function takeReport(clients: ChildProcess, expected: number): Promise<FeedClientsReport> {
  const endsMs = performance.now() + 30_000;
  for (;;) {
    clients.send({ take: true } satisfies FeedClientsOrder);
    const [report] = (await once(clients, 'message')) as [FeedClientsReport];
    if (report.total >= expected) return report;
    if (performance.now() > endsMs) throw new Error(`${report.total} of ${expected} events came`);
    await sleep(100);
  }
}

export function printFeed(figures: FeedFigures): string {
  const { clients, events, idleMb, followedMb, afterMb } = figures;
  const ms = (value: number) => `${value.toFixed(1)} ms`;
  return (
    `\n${clients} clients of the stream, ${events} events, 4 a second\n` +
    `  resident memory              ${idleMb} MB before, ${followedMb} MB with them, ${figures.peakMb} MB after the last event, ${afterMb} MB at rest\n` +
    `  mail to the first client     p50 ${ms(figures.firstP50Ms)}\n` +
    `  mail to the last client      p50 ${ms(figures.lastP50Ms)}, p99 ${ms(figures.lastP99Ms)}, at most ${ms(figures.lastMaxMs)}\n` +
    `  processor time an event      ${ms(figures.nodeMsAnEvent)}\n`
  );
}
