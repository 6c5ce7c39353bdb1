/*
 * npm run bench: what ingest costs, beside the same work without a store and beside the obvious way, in one run on one
 * machine. Each variant is a process of its own on the same PostgreSQL, driven by the same client with the same
 * bodies; variants take turns for several rounds, and medians count.
 *
 *   npm run bench [-- --quick] [-- --json file]
 */
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import PostalMime from 'postal-mime';
import postgres from 'postgres';
import { openEmbedded } from '../src/store/embedded.ts';
import type { LoadOrder, LoadResult } from './load.ts';
import { mimeMail } from './mails.ts';

const { values: options } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, json: { type: 'string' } },
});
const ROUNDS = options.quick ? 1 : 5;
const REQUESTS = options.quick ? { plain: 3000, mime: 1500 } : { plain: 12_000, mime: 5000 };
const CONNECTIONS = 64;
const ADMIN_TOKEN = 'a-token-for-the-bench-of-24-characters';

type Target = { port: number; path: string; secret: string };
type Variant = { name: string; target: Target; child: ChildProcess };

const children: ChildProcess[] = [];

async function startBaseline(url: string, kind: string): Promise<Variant> {
  const child = fork(new URL('baseline.ts', import.meta.url), [kind], {
    env: { ...process.env, DATABASE_URL: url },
  });
  children.push(child);
  const [target] = (await once(child, 'message')) as [Target];
  return { name: kind === 'none' ? 'no store' : 'one INSERT a request', target, child };
}

async function startOurs(
  url: string,
  port: number,
  withEndpoint: boolean,
  endpointUrl: string,
): Promise<Variant> {
  const child = spawn(process.execPath, ['src/main.ts', 'serve', '--migrate'], {
    env: {
      ...process.env,
      DATABASE_URL: url,
      PORT: String(port),
      MAILGRESS_ADMIN_TOKEN: ADMIN_TOKEN,
      MAILGRESS_SECRET_KEY: 'a-secret-key-for-the-bench-of-32-characters',
      MAILGRESS_EGRESS_ALLOW: '127.0.0.1',
      LOG_LEVEL: 'warn',
    },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  children.push(child);
  const base = `http://127.0.0.1:${port}`;
  for (;;) {
    if (child.exitCode !== null) throw new Error(`serve ended with ${child.exitCode}`);
    if (
      await fetch(`${base}/readyz`).then(
        (answer) => answer.ok,
        () => false,
      )
    )
      break;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const api = async (path: string, body: unknown) => {
    const headers = { authorization: `Bearer ${ADMIN_TOKEN}`, 'content-type': 'application/json' };
    const answer = await fetch(`${base}${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(`${path}: ${await answer.text()}`);
    return (await answer.json()) as { id: string; secret: string };
  };
  const mailbox = await api('/v1/mailboxes', { address: 'grace@example.org' });
  const source = await api(`/v1/mailboxes/${mailbox.id}/sources`, { kind: 'apps-script' });
  if (withEndpoint) await api('/v1/endpoints', { url: endpointUrl });
  const name = withEndpoint ? 'Mailgress, one endpoint' : 'Mailgress';
  return {
    name,
    target: { port, path: `/v1/ingest/apps-script/${source.id}`, secret: source.secret },
    child,
  };
}

async function measure(load: ChildProcess, variant: Variant, mail: LoadOrder['mail'], requests: number) {
  load.send({ ...variant.target, mail, connections: CONNECTIONS, requests } satisfies LoadOrder);
  const [result] = (await once(load, 'message')) as [LoadResult];
  if (result.failed > 0) throw new Error(`${variant.name}: ${result.failed} requests failed`);
  return result;
}

const median = (numbers: number[]) =>
  numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;

async function residentMb(child: ChildProcess): Promise<number> {
  const status = await readFile(`/proc/${child.pid}/status`, 'utf8').catch(() => '');
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? Number.NaN) / 1024);
}

/** A consumer that answers at once; it counts, and tells when what came at last came. */
async function startConsumer() {
  let count = 0;
  const server = createServer((request, response) => {
    request.resume();
    request.on('end', () => {
      count++;
      response.writeHead(204).end();
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return { url: `http://127.0.0.1:${port}/`, count: () => count, close: () => server.close() };
}

function timePostalMime(): Promise<number> {
  const mails = Array.from({ length: 1000 }, (_, n) => Buffer.from(mimeMail(n)));
  return (async () => {
    for (const mail of mails.slice(0, 300)) await PostalMime.parse(mail);
    const startedMs = performance.now();
    for (const mail of mails) await PostalMime.parse(mail);
    return mails.length / ((performance.now() - startedMs) / 1000);
  })();
}

const directory = await mkdtemp(join(tmpdir(), 'mailgress-bench-'));
await chmod(directory, 0o711);
const embedded = await openEmbedded({ directory: join(directory, 'postgres'), mode: 'own', log: () => {} });
const consumer = await startConsumer();
try {
  const admin = postgres(embedded.url, { max: 1, onnotice: () => {} });
  const databaseUrl = async (name: string) => {
    await admin.unsafe(`CREATE DATABASE ${name}`);
    return embedded.url.replace(/\/mailgress$/, `/${name}`);
  };
  await admin`CREATE EXTENSION IF NOT EXISTS pg_stat_statements`;
  const [oursUrl, deliveringUrl] = [await databaseUrl('ours'), await databaseUrl('delivering')];
  const baselineUrl = await databaseUrl('baseline');
  const ours = await startOurs(oursUrl, 18_080, false, '');
  const delivering = await startOurs(deliveringUrl, 18_081, true, consumer.url);
  const none = await startBaseline(baselineUrl, 'none');
  const insert = await startBaseline(baselineUrl, 'insert');
  const idleMb = await residentMb(ours.child);
  const load = fork(new URL('load.ts', import.meta.url));
  children.push(load);

  const statementsIn = async (name: string) => {
    const [row] = await admin`
      SELECT coalesce(sum(calls), 0)::int AS calls FROM pg_stat_statements
      JOIN pg_database ON pg_database.oid = dbid WHERE datname = ${name}`;
    return Number(row?.calls);
  };

  const report: Record<string, unknown> = {};
  for (const mail of ['plain', 'mime'] as const) {
    const variants = [none, insert, ours, delivering];
    for (const variant of variants) await measure(load, variant, mail, Math.ceil(REQUESTS[mail] / 2));
    const results = new Map<string, LoadResult[]>(variants.map(({ name }) => [name, []]));
    const statements = { ours: [] as number[], delivering: [] as number[] };
    const postalMime: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      for (const variant of variants) {
        const key = variant === ours ? 'ours' : variant === delivering ? 'delivering' : undefined;
        const before = key === undefined ? 0 : await statementsIn(key);
        const seen = consumer.count();
        results.get(variant.name)?.push(await measure(load, variant, mail, REQUESTS[mail]));
        while (variant === delivering && consumer.count() < seen + REQUESTS[mail]) {
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
        if (key !== undefined) statements[key].push(((await statementsIn(key)) - before) / REQUESTS[mail]);
      }
      if (mail === 'mime') postalMime.push(await timePostalMime());
    }
    const rows = variants.map(({ name }) => {
      const all = results.get(name) ?? [];
      return {
        variant: name,
        'mails/s': Math.round(median(all.map((one) => one.perSecond))),
        'p50 ms': Number(median(all.map((one) => one.p50Ms)).toFixed(1)),
        'p99 ms': Number(median(all.map((one) => one.p99Ms)).toFixed(1)),
      };
    });
    const rate = (at: number) => rows[at]?.['mails/s'] ?? Number.NaN;
    const ratios: Record<string, number> = {
      'Mailgress / no store': rate(2) / rate(0),
      'Mailgress / one INSERT a request': rate(2) / rate(1),
      'statements a mail': median(statements.ours),
      'statements a mail, with one endpoint': median(statements.delivering),
    };
    if (mail === 'mime') ratios['Mailgress / postal-mime alone'] = rate(2) / median(postalMime);
    process.stdout.write(`\n${mail === 'plain' ? '1 kB plain' : '12 kB MIME'}\n`);
    console.table(rows);
    for (const [name, value] of Object.entries(ratios))
      process.stdout.write(`  ${name}: ${value.toFixed(2)}\n`);
    report[mail] = { rows, ratios };
  }
  const memory = { idleMb, afterMb: await residentMb(ours.child) };
  const machine = {
    cpu: cpus()[0]?.model,
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    node: process.version,
  };
  process.stdout.write(
    `\nresident: ${memory.idleMb} MB idle, ${memory.afterMb} MB after\n${JSON.stringify(machine)}\n`,
  );
  if (options.json !== undefined) {
    await writeFile(
      options.json,
      `${JSON.stringify({ machine, rounds: ROUNDS, ...report, memory }, null, 2)}\n`,
    );
  }
  await admin.end();
} finally {
  for (const child of children) child.kill();
  consumer.close();
  await embedded.stop();
  await rm(directory, { recursive: true, force: true });
}
process.exit();
