import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import postgres, { type Sql } from 'postgres';
import type { SinkReport } from './sink.ts';
import { callMailgress, cpuMs, endProcess, startMailgress } from './variants.ts';

export type DeliverFigures = {
  deliveries: number;
  perSecond: number;
  statements: number;
  nodeUs: number;
  /** The pace of the first and of the last tenth: how much a long queue costs. */
  firstTenthPerSecond: number;
  lastTenthPerSecond: number;
  /** Of an endpoint that answers at once, beside one that hangs with a long queue. */
  besideHanging: { perSecond: number; p50Ms: number; p99Ms: number };
};

type Options = {
  createDatabase: (name: string) => Promise<string>;
  countStatements: (database: string) => Promise<number>;
  isQuick: boolean;
  note: (text: string) => void;
};

const DATABASE = 'deliver';
const IN_FLIGHT = 64;
const TRICKLE_PER_SECOND = 100;

/** What waits is sent to a consumer on the same machine that answers at once: what the dispatcher itself can do. */
export async function measureDeliver(options: Options): Promise<DeliverFigures> {
  const { createDatabase, countStatements, isQuick, note } = options;
  const deliveries = isQuick ? 10_000 : 100_000;
  const databaseUrl = await createDatabase(DATABASE);
  const sink = fork(new URL('sink.ts', import.meta.url));
  const [{ url }] = (await once(sink, 'message')) as [{ url: string }];
  const variant = await startMailgress('Mailgress', databaseUrl, []);
  const sql = postgres(databaseUrl, { max: 2, onnotice: () => {} });
  try {
    const base = `http://127.0.0.1:${variant.target.port}`;
    const settings = { types: ['message.received'], maxInFlight: IN_FLIGHT };
    const { id } = await callMailgress(base, '/v1/endpoints', { ...settings, url: `${url}/hook` });
    note('deliver: warming up ...');
    await queue(sql, id, 3000);
    await takeAll(sink, 3000);

    note(`deliver: ${deliveries} that wait ...`);
    const before = { cpu: await cpuMs(variant.child), statements: await countStatements(DATABASE) };
    await queue(sql, id, deliveries);
    const { arrivalsNs } = await takeAll(sink, deliveries);
    const ourStatements = (await countStatements(DATABASE)) - before.statements - QUEUE_STATEMENTS;
    const nodeUs = (((await cpuMs(variant.child)) - before.cpu) * 1000) / deliveries;
    const paceOf = (from: number, to: number) => {
      const [first, last] = [arrivalsNs[from] ?? '0', arrivalsNs[to - 1] ?? '0'];
      return (to - from) / (Number(BigInt(last) - BigInt(first)) / 1e9);
    };

    note('deliver: beside an endpoint that hangs ...');
    const hanging = await callMailgress(base, '/v1/endpoints', { ...settings, url: `${url}/hang` });
    await queue(sql, hanging.id, 10_000);
    const trickle = TRICKLE_PER_SECOND * (isQuick ? 5 : 20);
    const startedMs = performance.now();
    for (let count = 0; count < trickle; count++) {
      const dueMs = startedMs + (count * 1000) / TRICKLE_PER_SECOND;
      if (performance.now() < dueMs) await sleep(dueMs - performance.now());
      await queue(sql, id, 1, { sentNs: String(process.hrtime.bigint()) });
    }
    const { latenciesMs } = await takeAll(sink, trickle);
    const sorted = latenciesMs.toSorted((a, b) => a - b);
    const quantile = (share: number) => sorted[Math.floor(share * sorted.length)] ?? Number.NaN;
    note('');
    const tenth = deliveries / 10;
    return {
      deliveries,
      perSecond: paceOf(0, deliveries),
      statements: ourStatements / deliveries,
      nodeUs,
      firstTenthPerSecond: paceOf(0, tenth),
      lastTenthPerSecond: paceOf(deliveries - tenth, deliveries),
      besideHanging: { perSecond: TRICKLE_PER_SECOND, p50Ms: quantile(0.5), p99Ms: quantile(0.99) },
    };
  } finally {
    await sql.end();
    await Promise.all([variant.child, sink].map(endProcess));
  }
}

/** Of `queue`, as PostgreSQL counts them. */
const QUEUE_STATEMENTS = 2;

/** Messages of about 2 kB, their events and their deliveries to one endpoint, at once; then the dispatcher is told. */
async function queue(sql: Sql, endpointId: string, count: number, more: object = {}): Promise<void> {
  const text = 'Lorem ipsum dolor sit amet. '.repeat(70);
  const addresses = { from: null, sender: null, replyTo: [], to: [], cc: [], bcc: [] };
  const data = JSON.stringify({
    id: 'msg_0',
    subject: 'Lorem',
    ...addresses,
    ...more,
    text,
    html: null,
    snippet: '',
  });
  await sql`
    WITH made AS (
      SELECT mailgress_uuidv7() AS event_id, mailgress_uuidv7() AS id FROM generate_series(1, ${count}::int)
    ), stored AS (
      INSERT INTO messages (id, mailbox_id, tenant, placement, received_at, is_truncated, document)
      SELECT event_id, '00000000-0000-7000-8000-000000000000', 'default', 'inbox', now(), false, ${data}::text::json FROM made
    ), logged AS (
      INSERT INTO events (id, type, tenant) SELECT event_id, 'message.received', 'default' FROM made
    )
    INSERT INTO deliveries (id, endpoint_id, event_id)
    SELECT id, ${endpointId.slice('ep_'.length)}::uuid, event_id FROM made`;
  await sql`SELECT pg_notify('mailgress_deliveries', '')`;
}

async function takeAll(sink: ChildProcess, count: number): Promise<SinkReport> {
  const ask = async (order: 'count' | 'take') => {
    sink.send(order);
    const [report] = (await once(sink, 'message')) as [SinkReport];
    return report;
  };
  const endsMs = performance.now() + 300_000;
  for (let come = 0; come < count; come = (await ask('count')).count) {
    if (performance.now() > endsMs) throw new Error(`${come} of ${count} webhooks came in 300 s`);
    await sleep(50);
  }
  return ask('take');
}

export function printDeliver(figures: DeliverFigures): string {
  const { besideHanging: beside } = figures;
  return (
    `\n${figures.deliveries} deliveries that wait, to a consumer that answers at once\n` +
    `  webhooks a second            ${figures.perSecond.toFixed(0)}\n` +
    `  in the first, the last tenth ${figures.firstTenthPerSecond.toFixed(0)}, ${figures.lastTenthPerSecond.toFixed(0)}\n` +
    `  SQL statements a delivery    ${figures.statements.toFixed(3)}\n` +
    `  Node us a delivery           ${figures.nodeUs.toFixed(0)}\n` +
    `${beside.perSecond} events a second, beside an endpoint that hangs with 10,000\n` +
    `  event to webhook             p50 ${beside.p50Ms.toFixed(1)} ms, p99 ${beside.p99Ms.toFixed(1)} ms\n`
  );
}
