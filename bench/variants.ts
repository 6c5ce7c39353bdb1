import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/** A process that takes mail, and where it takes it. */
export type Variant = { name: string; target: Target; child: ChildProcess };
export type Target = { port: number; path: string; secret: string };

export type BaselineKind = 'none' | 'insert-raw' | 'insert-message';

/** As `npm start` and the hosts' files have it. */
export const HEAP_FLAG = '--max-semi-space-size=4';

export const BENCH_TOKEN = 'a-token-for-the-bench-of-24-characters';

/** The same work in front, and behind it no store, or one INSERT a request; see `baseline.ts`. */
export async function startBaseline(
  name: string,
  kind: BaselineKind,
  databaseUrl: string,
  flags: string[],
): Promise<Variant> {
  const child = fork(new URL('baseline.ts', import.meta.url), [kind], {
    execArgv: flags,
    env: { ...process.env, DATABASE_URL: databaseUrl },
  });
  const [target] = (await once(child, 'message')) as [Target];
  return { name, target, child };
}

/** `mailgress serve` or `all`, with one mailbox and one source, and an endpoint if there is a URL for it. */
export async function startMailgress(
  name: string,
  databaseUrl: string,
  flags: string[],
  endpointUrl?: string,
  environment: Record<string, string> = {},
  command: 'serve' | 'all' = 'serve',
): Promise<Variant & { endpointSecret: string }> {
  const arguments_ = command === 'serve' ? ['serve', '--migrate'] : ['all'];
  const child = spawn(process.execPath, [HEAP_FLAG, ...flags, 'src/main.ts', ...arguments_], {
    env: {
      ...process.env,
      DATABASE_URL: databaseUrl,
      HOST: '127.0.0.1',
      PORT: '0',
      MAILGRESS_ADMIN_TOKEN: BENCH_TOKEN,
      MAILGRESS_SECRET_KEY: 'a-secret-key-for-the-bench-of-32-characters',
      MAILGRESS_EGRESS_ALLOW: '127.0.0.1,localhost',
      // One source brings it all.
      MAILGRESS_SOURCE_MAILS_PER_SECOND: '0',
      LOG_LEVEL: 'warn',
      ...environment,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const base = await readAddress(child);
  const post = (path: string, body: unknown) => callMailgress(base, path, body);
  const mailbox = await post('/v1/mailboxes', { address: 'grace@example.org' });
  const source = await post(`/v1/mailboxes/${mailbox.id}/sources`, { kind: 'apps-script' });
  const endpoint = endpointUrl === undefined ? undefined : await post('/v1/endpoints', { url: endpointUrl });
  const target = {
    port: Number(new URL(base).port),
    path: `/v1/ingest/apps-script/${source.id}`,
    secret: source.secret,
  };
  return { name, target, child, endpointSecret: endpoint?.secret ?? '' };
}

/** A POST to the API of a service that `startMailgress` started at `base`. */
export async function callMailgress(
  base: string,
  path: string,
  body: unknown,
): Promise<{ id: string; secret: string }> {
  const headers = { authorization: `Bearer ${BENCH_TOKEN}`, 'content-type': 'application/json' };
  const answer = await fetch(`${base}${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${path}: ${await answer.text()}`);
  return (await answer.json()) as { id: string; secret: string };
}

async function readAddress(child: ChildProcess): Promise<string> {
  let text = '';
  for await (const chunk of child.stdout ?? []) {
    text += chunk;
    const [address] = /http:\/\/[\d.]+:\d+/.exec(text) ?? [];
    if (address !== undefined) {
      child.stdout?.resume();
      return address;
    }
  }
  throw new Error(`serve ended: ${text}`);
}

/** Ends a process in order, so that what profiles it is written; by force after 10 s. */
export async function endProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  await Promise.race([ended, sleep(10_000, undefined, { ref: false })]);
  child.kill('SIGKILL');
}

/** Resident memory, in MB of 2^20 bytes. NaN where there is no /proc. */
export async function residentMb(child: ChildProcess): Promise<number> {
  const status = await readFile(`/proc/${child.pid}/status`, 'utf8').catch(() => '');
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? Number.NaN) / 1024);
}

/** Processor time that a process has taken so far, all its threads together. NaN where there is no /proc. */
export async function cpuMs(child: ChildProcess): Promise<number> {
  const stat = await readFile(`/proc/${child.pid}/stat`, 'utf8').catch(() => '');
  // Behind the name, which may hold blanks: fields 14 and 15 of proc(5), in hundredths of a second.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11] ?? Number.NaN) + Number(fields[12] ?? Number.NaN)) * 10;
}
