/*
 * npm run bench: what ingest costs, beside the same work without a store and beside one INSERT a request, in one run on
 * one machine. Each variant is a process of its own on the same PostgreSQL (synchronous_commit on, as it comes), driven
 * by the same client with the same bodies: one mail a request, 64 connections. Variants take turns for several rounds,
 * and medians count.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import postgres from 'postgres';
import { openEmbedded } from '../src/store/embedded.ts';
import type { ConsumerOrder, ConsumerReport } from './consumer.ts';
import { measureDeliver, printDeliver } from './deliver.ts';
import { measureFeed, printFeed } from './feed.ts';
import { measureImap, printImap } from './imap.ts';
import type { LoadOrder, LoadResult } from './load.ts';
import { mimeMail } from './mails.ts';
import { measureOverload, printOverload } from './overload.ts';
import { printProfiles } from './profile.ts';
import { measurePushes } from './push.ts';
import { measurePushToWebhook } from './push-to-webhook.ts';
import { measureReading } from './reading.ts';
import { machine, median, printSection, type Row, type Section } from './report.ts';
import { measureSize, printSize } from './size.ts';
import { cpuMs, endProcess, residentMb, startBaseline, startMailgress, type Variant } from './variants.ts';

const USAGE = `npm run bench -- [WHAT ...] [options]
  WHAT           plain, mime, latency, push, deliver, feed, overload, imap or size; without it all but imap, which
                 needs Dovecot, and size, which fills 20 GB for some minutes
  --quick        one short round: for a look, not for figures
  --only WHAT    the same as WHAT
  --json FILE    write the figures there as well
  --profile DIR  write CPU profiles of Mailgress there and print where the time went (takes time itself)
`;
const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    json: { type: 'string' },
    profile: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
if (options.help) {
  process.stdout.write(USAGE);
  process.exit();
}
const ROUNDS = options.quick ? 1 : 3;
const REQUESTS = options.quick ? { plain: 6000, mime: 2500 } : { plain: 12_000, mime: 5000 };
const WARM_UP = options.quick ? { plain: 6000, mime: 2500 } : { plain: 18_000, mime: 6000 };
const CONNECTIONS = 64;
const LATENCY = { perSecond: 200, seconds: options.quick ? 5 : 30 };
const PUSHES = { perSecond: 500, seconds: options.quick ? 5 : 30 };
const wanted = new Set([...positionals, ...(options.only === undefined ? [] : [options.only])]);
const wants = (what: string) => wanted.has(what) || (wanted.size === 0 && what !== 'imap' && what !== 'size');

const children: ChildProcess[] = [];
const note = (text: string) => process.stderr.isTTY && process.stderr.write(`\x1b[2K\r${text}`);

const directory = await mkdtemp(join(tmpdir(), 'mailgress-bench-'));
await chmod(directory, 0o711);
note('starting PostgreSQL ...');
const embedded = await openEmbedded({ directory: join(directory, 'postgres'), mode: 'own', log: () => {} });
const admin = postgres(embedded.url, { max: 1, onnotice: () => {} });
try {
  await main();
} finally {
  await Promise.all(children.map(endProcess));
  await admin.end();
  await embedded.stop();
  await rm(directory, { recursive: true, force: true });
}
process.exit();

async function main(): Promise<void> {
  await admin`CREATE EXTENSION IF NOT EXISTS pg_stat_statements`;
  const imap = wants('imap')
    ? await measureImap({ createDatabase, isQuick: options.quick, note })
    : undefined;
  note('');
  if (imap !== undefined) process.stdout.write(printImap(imap));
  const deliver = wants('deliver')
    ? await measureDeliver({ createDatabase, countStatements, isQuick: options.quick, note })
    : undefined;
  if (deliver !== undefined) process.stdout.write(printDeliver(deliver));
  const overload = wants('overload')
    ? await measureOverload({ createDatabase, isQuick: options.quick, note })
    : undefined;
  if (overload !== undefined) process.stdout.write(printOverload(overload));
  if (wanted.size > 0 && [...wanted].every((what) => ['imap', 'deliver', 'overload'].includes(what))) {
    await report({ imap, deliver, overload });
    return;
  }
  const load = fork(new URL('load.ts', import.meta.url));
  children.push(load);
  const feed = wants('feed')
    ? await measureFeed({ createDatabase, send: (order) => send(load, order), isQuick: options.quick, note })
    : undefined;
  note('');
  if (feed !== undefined) process.stdout.write(printFeed(feed));
  const size = wants('size')
    ? await measureSize({ createDatabase, send: (order) => send(load, order), isQuick: options.quick, note })
    : undefined;
  note('');
  if (size !== undefined) process.stdout.write(printSize(size));
  if (wanted.size > 0 && [...wanted].every((what) => ['imap', 'deliver', 'feed', 'size'].includes(what))) {
    await report({ imap, deliver, feed, size });
    return;
  }
  const consumer = fork(new URL('consumer.ts', import.meta.url));
  children.push(consumer);
  const [{ url: consumerUrl }] = (await once(consumer, 'message')) as [{ url: string }];

  const profileTo = options.profile === undefined ? undefined : resolve(options.profile);
  if (profileTo !== undefined) await mkdir(profileTo, { recursive: true });
  const flags = profileTo === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profileTo}`];
  const ours = await startMailgress('Mailgress', await createDatabase('ours'), flags);
  children.push(ours.child);
  const idleMb = await residentMb(ours.child);
  const delivering = await startMailgress(
    'Mailgress, with one endpoint',
    await createDatabase('delivering'),
    [],
    consumerUrl,
  );
  children.push(delivering.child);
  consumer.send({ secret: delivering.endpointSecret } satisfies ConsumerOrder);
  const baselineUrl = await createDatabase('baseline');
  const baselines = [
    await startBaseline('no store', 'none', baselineUrl, []),
    await startBaseline('one INSERT a request, mail unread', 'insert-raw', baselineUrl, []),
    await startBaseline('one INSERT a request', 'insert-message', baselineUrl, []),
  ];
  children.push(...baselines.map(({ child }) => child));

  const sections: Section[] = [];
  let mails = 0;
  for (const mail of ['plain', 'mime'] as const) {
    if (!wants(mail)) continue;
    sections.push(await compare(mail, load, [...baselines, ours, delivering], consumer));
    mails += WARM_UP[mail] + ROUNDS * REQUESTS[mail];
    process.stdout.write(printSection(sections.at(-1) as Section));
  }
  const latency = wants('latency') ? await measureLatency(load, delivering, consumer) : undefined;
  if (latency !== undefined) {
    const print = (p50Ms: number, p99Ms: number) =>
      `p50 ${p50Ms.toFixed(1)} ms, p99 ${p99Ms.toFixed(1)} ms\n`;
    process.stdout.write(
      `\n${LATENCY.perSecond} mails a second for ${LATENCY.seconds} s\n` +
        `  request to answer            ${print(latency.answerP50Ms, latency.answerP99Ms)}` +
        `  request to verified webhook  ${print(latency.p50Ms, latency.p99Ms)}`,
    );
  }
  note('pushes ...');
  const pushes = wants('push')
    ? await measurePushes({
        databaseUrl: await createDatabase('pushed'),
        ...PUSHES,
        send: (order) => send(load, order),
        countStatements: () => countStatements('pushed'),
      })
    : undefined;
  const pushToWebhook = wants('push')
    ? await measurePushToWebhook({
        databaseUrl: await createDatabase('gmail'),
        consumer,
        consumerUrl,
        mails: options.quick ? 100 : 500,
      })
    : undefined;
  note('');
  if (pushToWebhook !== undefined) {
    const { mails, p50Ms, ownP50Ms, ownP99Ms } = pushToWebhook;
    process.stdout.write(
      `\n${mails} mails of Gmail, one after the other\n` +
        `  push to verified webhook     p50 ${p50Ms.toFixed(1)} ms\n` +
        `  without Gmail's own answers  p50 ${ownP50Ms.toFixed(1)} ms, p99 ${ownP99Ms.toFixed(1)} ms\n`,
    );
  }
  if (pushes !== undefined) {
    process.stdout.write(
      `\n${PUSHES.perSecond} pushes of Gmail a second for ${PUSHES.seconds} s\n` +
        `  push to 204                  p50 ${pushes.p50Ms.toFixed(1)} ms, p99 ${pushes.p99Ms.toFixed(1)} ms\n` +
        `  SQL statements a push        ${pushes.statements.toFixed(2)}\n` +
        `  Node us a push               ${pushes.nodeUs.toFixed(0)}\n`,
    );
  }
  const memory = { idleMb, afterMb: await residentMb(ours.child) };
  process.stdout.write(
    `\nresident memory of the Node process: ${idleMb} MB idle, ${memory.afterMb} MB after\n`,
  );
  await report({
    rounds: ROUNDS,
    imap,
    deliver,
    overload,
    feed,
    sections,
    latency,
    pushes,
    pushToWebhook,
    memory,
  });
  if (profileTo !== undefined) {
    await endProcess(ours.child);
    process.stdout.write(await printProfiles(profileTo, mails));
  }
}

async function report(figures: object): Promise<void> {
  process.stdout.write(`${JSON.stringify(machine())}\n`);
  if (options.json === undefined) return;
  await writeFile(options.json, `${JSON.stringify({ machine: machine(), ...figures }, null, 2)}\n`);
}

async function createDatabase(name: string): Promise<string> {
  await admin.unsafe(`CREATE DATABASE ${name}`);
  return embedded.url.replace(/\/mailgress$/, `/${name}`);
}

async function countStatements(database: string): Promise<number> {
  const [row] = await admin`
    SELECT coalesce(sum(calls), 0)::int AS calls FROM pg_stat_statements
    JOIN pg_database ON pg_database.oid = dbid WHERE datname = ${database}`;
  return Number(row?.calls);
}

async function send(load: ChildProcess, order: LoadOrder): Promise<LoadResult> {
  load.send(order);
  const [result] = (await once(load, 'message')) as [LoadResult | { error: string }];
  if ('error' in result) throw new Error(result.error);
  if (result.failed > 0) throw new Error(`${result.failed} of ${order.requests} requests failed`);
  return result;
}

/** Waits until the webhooks of so many mails have come, and tells when each came first. */
async function takeArrivals(consumer: ChildProcess, count: number): Promise<Map<string, string>> {
  const all = new Map<string, string>();
  const endsMs = performance.now() + 60_000;
  while (all.size < count) {
    if (performance.now() > endsMs) throw new Error(`${all.size} of ${count} webhooks came in 60 s`);
    consumer.send({ take: true } satisfies ConsumerOrder);
    const [{ arrivals, refused }] = (await once(consumer, 'message')) as [ConsumerReport];
    if (refused > 0) throw new Error(`${refused} webhooks did not verify`);
    for (const [id, at] of arrivals) if (!all.has(id)) all.set(id, at);
    await sleep(20);
  }
  return all;
}

async function compare(
  mail: 'plain' | 'mime',
  load: ChildProcess,
  variants: Variant[],
  consumer: ChildProcess,
): Promise<Section> {
  const order = { mail, connections: CONNECTIONS, requests: REQUESTS[mail] };
  const [none, insertRaw, insertMessage, ours, delivering] = variants;
  for (const { name, target } of variants) {
    note(`${mail}: warming up ${name} ...`);
    await send(load, { ...order, ...target, requests: WARM_UP[mail] });
  }
  await takeArrivals(consumer, WARM_UP[mail]);

  const results = new Map<Variant, (LoadResult & { nodeUs: number; statements: number })[]>();
  for (let round = 0; round < ROUNDS; round++) {
    for (const variant of variants) {
      note(`${mail}: round ${round + 1} of ${ROUNDS}, ${variant.name} ...`);
      const database = variant === ours ? 'ours' : variant === delivering ? 'delivering' : 'baseline';
      const before = { cpu: await cpuMs(variant.child), statements: await countStatements(database) };
      const result = await send(load, { ...order, ...variant.target });
      if (variant === delivering) {
        // Until the last webhook, not the last answer.
        const answeredMs = performance.now();
        await takeArrivals(consumer, order.requests);
        const seconds = order.requests / result.perSecond + (performance.now() - answeredMs) / 1000;
        result.perSecond = order.requests / seconds;
      }
      const nodeUs = (((await cpuMs(variant.child)) - before.cpu) * 1000) / order.requests;
      const statements = ((await countStatements(database)) - before.statements) / order.requests;
      results.set(variant, [...(results.get(variant) ?? []), { ...result, nodeUs, statements }]);
    }
  }
  note('');

  const medianOf = (
    variant: Variant | undefined,
    read: (result: LoadResult & { nodeUs: number; statements: number }) => number,
  ) => median((variant && results.get(variant))?.map(read) ?? []);
  const rate = (variant: Variant | undefined) => medianOf(variant, (result) => result.perSecond);
  const rows: Row[] = variants.map((variant) => ({
    variant: variant.name,
    perSecond: rate(variant),
    p50Ms: medianOf(variant, (result) => result.p50Ms),
    p99Ms: medianOf(variant, (result) => result.p99Ms),
    nodeUs: medianOf(variant, (result) => result.nodeUs),
  }));
  const ratios: Record<string, number> = {
    'Mailgress / no store': rate(ours) / rate(none),
    'Mailgress / one INSERT a request': rate(ours) / rate(insertMessage),
    'Mailgress / one INSERT a request, mail unread': rate(ours) / rate(insertRaw),
    'SQL statements a mail': medianOf(ours, (result) => result.statements),
    'SQL statements a mail, with one endpoint': medianOf(delivering, (result) => result.statements),
  };
  if (mail === 'mime') {
    note('postal-mime and normalize alone ...');
    const { parserUs, normalizeUs } = await measureReading(Buffer.from(mimeMail(1)), 200, 25);
    note('');
    ratios['Mailgress / postal-mime alone on one thread'] = (rate(ours) * parserUs) / 1e6;
    ratios['time of normalize / time of postal-mime alone'] = normalizeUs / parserUs;
  }
  return { title: mail === 'plain' ? '1 kB plain mails' : '12 kB MIME mails', rows, ratios };
}

async function measureLatency(load: ChildProcess, variant: Variant, consumer: ChildProcess) {
  const { perSecond, seconds } = LATENCY;
  const order = { ...variant.target, mail: 'plain', connections: CONNECTIONS, perSecond } as const;
  note('latency: warming up ...');
  await send(load, { ...order, requests: perSecond * 3 });
  await takeArrivals(consumer, perSecond * 3);
  note(`latency: ${perSecond} mails a second for ${seconds} s ...`);
  const answered = await send(load, { ...order, requests: perSecond * seconds });
  const { sent } = answered;
  const arrivedAt = await takeArrivals(consumer, sent.length);
  note('');
  const latencies = sent
    .map(([id, sentNs]) => Number(BigInt(arrivedAt.get(id) ?? 'lost') - BigInt(sentNs)) / 1e6)
    .sort((a, b) => a - b);
  const at = (share: number) => latencies[Math.floor(share * latencies.length)] ?? Number.NaN;
  return {
    perSecond,
    mails: sent.length,
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    answerP50Ms: answered.p50Ms,
    answerP99Ms: answered.p99Ms,
  };
}
