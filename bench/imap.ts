/*
 * npm run bench -- imap: what reading over IMAP costs, against a real Dovecot on the same machine. Memory and processor time
 * of a worker with many idle mailboxes beside the same worker without any; the time from Dovecot's own line that there is
 * mail to the verified webhook; a burst in one folder; logins of a mailbox whose server hangs up.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Webhook } from 'standardwebhooks';
import { createSecret } from '../src/core/signature.ts';
import { type Consumer, startConsumer } from '../test/support/consumer.ts';
import { type Dovecot, startDovecot } from '../test/support/imap/dovecot.ts';
import { type FaultProxy, startFaultProxy } from '../test/support/imap/fault-proxy.ts';
import { callMailgress, cpuMs, endProcess, HEAP_FLAG, residentMb, startMailgress } from './variants.ts';

export type ImapFigures = {
  mailboxes: number;
  emptyMb: number;
  idleMb: number;
  kbPerMailbox: number;
  /** Of one core, in percent, while nothing comes; and with the empty worker. */
  idleCpuPercent: number;
  emptyCpuPercent: number;
  latency: { mails: number; p50Ms: number; p99Ms: number };
  burst: { mails: number; perSecond: number };
  loginsAMinute: number;
};

type Options = {
  createDatabase: (name: string) => Promise<string>;
  isQuick: boolean;
  note: (text: string) => void;
};

const SECRET_KEY = 'a-secret-key-for-the-bench-of-32-characters';
const BURST = 1000;
const WORKER_STARTED = /reads sources/;

export async function measureImap(options: Options): Promise<ImapFigures> {
  const { note, isQuick } = options;
  const mailboxes = isQuick ? 200 : 1000;
  note('Dovecot ...');
  await using dovecot = await startDovecot({ clientsPerProcess: 200 });
  const idle = await measureIdle(options, dovecot, mailboxes);
  await using proxy = await startDisposableProxy(dovecot);
  const consumer = await startConsumer();
  try {
    const reading = await measureReading(options, dovecot, proxy, consumer);
    return { mailboxes, ...idle, ...reading };
  } finally {
    await consumer.close();
  }
}

/** A worker without mailboxes, and then with many, after it has had time to settle. */
async function measureIdle(
  { createDatabase, note, isQuick }: Options,
  dovecot: Dovecot,
  mailboxes: number,
): Promise<Pick<ImapFigures, 'emptyMb' | 'idleMb' | 'kbPerMailbox' | 'idleCpuPercent' | 'emptyCpuPercent'>> {
  const databaseUrl = await createDatabase('imap_idle');
  const settleMs = isQuick ? 20_000 : 90_000;
  const serve = await startMailgress('Mailgress', databaseUrl, []);
  const base = `http://127.0.0.1:${serve.target.port}`;
  const worker = await startWorker(databaseUrl);
  try {
    note('an empty worker ...');
    await sleep(settleMs / 3);
    const emptyCpu = await cpuPercent(worker, settleMs / 3);
    const emptyMb = await residentMb(worker);
    note(`${mailboxes} mailboxes ...`);
    let made = 0;
    await Promise.all(
      Array.from({ length: 8 }, async () => {
        while (made < mailboxes) {
          await addMailbox(base, dovecot, `idle${made++}@example.com`);
          note(`${made} of ${mailboxes} mailboxes ...`);
        }
      }),
    );
    for (const endsMs = performance.now() + 120_000; ; await sleep(500)) {
      if (dovecot.connections().length >= mailboxes) break;
      if (performance.now() > endsMs)
        throw new Error(`${dovecot.connections().length} of ${mailboxes} are connected`);
    }
    note('letting it settle ...');
    await sleep(settleMs);
    const idleCpuPercent = await cpuPercent(worker, settleMs);
    const idleMb = await residentMb(worker);
    return {
      emptyMb,
      idleMb,
      kbPerMailbox: ((idleMb - emptyMb) * 1024) / mailboxes,
      idleCpuPercent,
      emptyCpuPercent: emptyCpu,
    };
  } finally {
    await endProcess(worker);
    await endProcess(serve.child);
  }
}

/** Everything in one process, as `npm start`: mail, bursts and faults of one mailbox among some. */
async function measureReading(
  { createDatabase, note, isQuick }: Options,
  dovecot: Dovecot,
  proxy: FaultProxy,
  consumer: Consumer,
): Promise<Pick<ImapFigures, 'latency' | 'burst' | 'loginsAMinute'>> {
  const databaseUrl = await createDatabase('imap_reading');
  const all = await startMailgress('Mailgress', databaseUrl, [], consumer.url, {}, 'all');
  const base = `http://127.0.0.1:${all.target.port}`;
  const webhook = new Webhook(all.endpointSecret);
  try {
    const users = Array.from({ length: 20 }, (_, n) => `reader${n}@example.com`);
    for (const user of users)
      await addMailbox(base, { ...dovecot, host: proxy.host, port: proxy.port }, user);
    await until(() => proxy.connections().filter(({ isIdling }) => isIdling).length >= users.length, 30_000);
    note('latency ...');
    const latency = await measureLatency(dovecot, proxy, consumer, webhook, users, isQuick ? 60 : 400);
    note('a burst ...');
    const burst = await measureBurst(dovecot, proxy, consumer, users[0] ?? '');
    note('a server that hangs up ...');
    proxy.set({ kind: 'cut', how: 'end', afterServerBytes: 2000 }, 'new');
    const before = proxy.loginsSeen();
    proxy.set({ kind: 'cut', how: 'end' }, 'open');
    await sleep(60_000);
    return { latency, burst, loginsAMinute: (proxy.loginsSeen() - before) / users.length };
  } finally {
    await endProcess(all.child);
  }
}

async function measureLatency(
  dovecot: Dovecot,
  proxy: FaultProxy,
  consumer: Consumer,
  webhook: Webhook,
  users: readonly string[],
  count: number,
): Promise<ImapFigures['latency']> {
  const tookMs: number[] = [];
  for (let n = 0; n < count; n++) {
    const user = users[n % users.length] ?? '';
    let toldMs: number | undefined;
    const unsubscribe = proxy.onExists(({ atMs }) => {
      toldMs ??= atMs;
    });
    const seen = consumer.received.length;
    await dovecot.drop(user, mailOf(user, `latency ${n}`));
    const [, came] = await Promise.all([
      until(() => toldMs !== undefined, 20_000),
      until(() => consumer.received.length > seen, 20_000).then(() => performance.now()),
    ]);
    unsubscribe();
    const one = consumer.received[seen];
    webhook.verify(one?.body ?? '', one?.headers as Record<string, string>);
    tookMs.push(Math.max(0, came - (toldMs ?? came)));
  }
  const sorted = tookMs.sort((a, b) => a - b);
  return { mails: count, p50Ms: quantile(sorted, 0.5), p99Ms: quantile(sorted, 0.99) };
}

async function measureBurst(
  dovecot: Dovecot,
  proxy: FaultProxy,
  consumer: Consumer,
  user: string,
): Promise<ImapFigures['burst']> {
  let firstMs: number | undefined;
  const unsubscribe = proxy.onExists(({ atMs }) => {
    firstMs ??= atMs;
  });
  const seen = consumer.received.length;
  await Promise.all(
    Array.from({ length: BURST }, (_, n) => dovecot.drop(user, mailOf(user, `burst ${n}`, 4000))),
  );
  await until(() => consumer.received.length >= seen + BURST, 60_000);
  unsubscribe();
  const seconds = (performance.now() - (firstMs ?? 0)) / 1000;
  return { mails: BURST, perSecond: BURST / seconds };
}

async function startWorker(databaseUrl: string): Promise<ChildProcess> {
  const child = spawn(process.execPath, [HEAP_FLAG, 'src/main.ts', 'worker'], {
    env: {
      ...process.env,
      DATABASE_URL: databaseUrl,
      MAILGRESS_ADMIN_TOKEN: createSecret(),
      MAILGRESS_SECRET_KEY: SECRET_KEY,
      MAILGRESS_EGRESS_ALLOW: '127.0.0.1,localhost',
      LOG_LEVEL: 'warn',
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  while (!WORKER_STARTED.test(text)) {
    const [chunk] = await once(child.stdout ?? child, 'data');
    text += chunk;
  }
  return child;
}

async function addMailbox(
  base: string,
  { host, port, password }: Pick<Dovecot, 'host' | 'port' | 'password'>,
  user: string,
): Promise<void> {
  const mailbox = await callMailgress(base, '/v1/mailboxes', { address: user });
  await callMailgress(base, `/v1/mailboxes/${mailbox.id}/sources`, {
    kind: 'imap',
    ...{ host, port, security: 'none' },
    auth: { type: 'password', user, password },
  });
}

async function cpuPercent(child: ChildProcess, ms: number): Promise<number> {
  const before = { cpu: await cpuMs(child), at: performance.now() };
  await sleep(ms);
  return (((await cpuMs(child)) - before.cpu) / (performance.now() - before.at)) * 100;
}

async function startDisposableProxy(dovecot: Dovecot): Promise<FaultProxy & AsyncDisposable> {
  const proxy = await startFaultProxy(dovecot);
  return { ...proxy, [Symbol.asyncDispose]: () => proxy.close() };
}

/** Looks often enough for figures in milliseconds. */
async function until(isSo: () => boolean, timeoutMs: number): Promise<void> {
  for (const endsMs = performance.now() + timeoutMs; !isSo(); await sleep(1)) {
    if (performance.now() > endsMs) throw new Error(`it took longer than ${timeoutMs} ms`);
  }
}

function mailOf(user: string, subject: string, bytes = 1000): string {
  return `From: Ada <ada@example.com>\r\nTo: ${user}\r\nSubject: ${subject}\r\nMessage-ID: <${encodeURIComponent(subject)}@bench.example.com>\r\n\r\n${'All work and no play. '.repeat(Math.ceil(bytes / 22))}\r\n`;
}

const quantile = (sorted: readonly number[], q: number) => sorted[Math.floor((sorted.length - 1) * q)] ?? 0;

export function printImap(figures: ImapFigures): string {
  const { mailboxes, emptyMb, idleMb, kbPerMailbox, idleCpuPercent, emptyCpuPercent } = figures;
  const { latency, burst, loginsAMinute } = figures;
  return `
${mailboxes} idle mailboxes in one worker
  resident, empty and with them    ${emptyMb} MB, ${idleMb} MB: ${kbPerMailbox.toFixed(0)} kB a mailbox
  processor, empty and with them   ${emptyCpuPercent.toFixed(1)} %, ${idleCpuPercent.toFixed(1)} % of a core
${latency.mails} mails, one after the other
  Dovecot's EXISTS to verified webhook  p50 ${latency.p50Ms.toFixed(1)} ms, p99 ${latency.p99Ms.toFixed(1)} ms
${burst.mails} mails in one folder at once
  first EXISTS to last webhook     ${burst.perSecond.toFixed(0)} mails a second
a server that hangs up after each login
  logins a minute and mailbox      ${loginsAMinute.toFixed(1)}
`;
}
