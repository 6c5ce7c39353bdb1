/*
 * npm run bench -- overload: the database slowed to a tenth, and three times the load that it can then take.
 *
 * A tenth is measured, not said: first what the service takes through a proxy as fast as the machine is; then the line
 * between it and PostgreSQL is made so narrow that it takes a tenth of that, which is measured again. Then mails come at
 * three times that rate, whether they are answered or not, of sources enough that no one's own limit is reached.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import postgres from 'postgres';
import { startSlowProxy } from '../test/support/slow-proxy.ts';
import type { OverloadOrder, OverloadResult } from './overload-load.ts';
import { callMailgress, endProcess, residentMb, startMailgress, type Target } from './variants.ts';

export type OverloadFigures = {
  seconds: number;
  /** Mails a second: as fast as it goes, and on the narrow line. */
  fullPerSecond: number;
  slowPerSecond: number;
  offeredPerSecond: number;
  acceptedPerSecond: number;
  accepted: number;
  statuses: Record<string, number>;
  p50Ms: number;
  p99Ms: number;
  maxMs: number;
  refusedP99Ms: number;
  idleMb: number;
  highestMb: number;
  /** Accepted and not in the database: must be none. */
  lost: number;
  hasCrashed: boolean;
};

const SOURCES = 32;

export async function measureOverload(tools: {
  createDatabase: (name: string) => Promise<string>;
  isQuick: boolean;
  note: (text: string) => void;
}): Promise<OverloadFigures> {
  const { note, isQuick } = tools;
  const databaseUrl = await tools.createDatabase('overload');
  await using proxy = await startSlowProxy(databaseUrl);
  const { child, target } = await startMailgress('overload', proxy.url, [], undefined, {
    MAILGRESS_SOURCE_MAILS_PER_SECOND: '100',
  });
  let hasCrashed = false;
  let isEnding = false;
  child.once('exit', () => {
    hasCrashed = !isEnding;
  });
  const load = fork(new URL('overload-load.ts', import.meta.url));
  const order = async (one: OverloadOrder): Promise<OverloadResult> => {
    load.send(one);
    const [result] = (await once(load, 'message')) as [OverloadResult | { error: string }];
    if ('error' in result) throw new Error(result.error);
    return result;
  };
  try {
    const targets = [target, ...(await addTargets(target.port))];
    const closed = { targets, connections: 64 };
    const perSecondOf = ({ accepted, seconds }: OverloadResult) => accepted.length / seconds;

    note('overload: as fast as it goes ...');
    await order({ ...closed, seconds: isQuick ? 1 : 2 });
    const bytesBefore = proxy.bytes();
    const full = await order({ ...closed, seconds: isQuick ? 2 : 4 });
    const bytesAMail = (proxy.bytes() - bytesBefore) / full.accepted.length;

    note('overload: narrowing the line ...');
    const fullPerSecond = perSecondOf(full);
    let bytesPerSecond = (bytesAMail * fullPerSecond) / 10;
    proxy.narrow(bytesPerSecond);
    let slowPerSecond = perSecondOf(await order({ ...closed, seconds: isQuick ? 3 : 6 }));
    // What goes along with the mails (claims, lookups) has another share now.
    bytesPerSecond *= fullPerSecond / 10 / slowPerSecond;
    proxy.narrow(bytesPerSecond);
    slowPerSecond = perSecondOf(await order({ ...closed, seconds: isQuick ? 3 : 6 }));

    const seconds = isQuick ? 10 : 60;
    const offeredPerSecond = Math.round(slowPerSecond * 3);
    note(`overload: ${offeredPerSecond} mails a second for ${seconds} s ...`);
    const idleMb = await residentMb(child);
    let highestMb = 0;
    const watch = setInterval(async () => {
      highestMb = Math.max(highestMb, await residentMb(child));
    }, 200);
    const result = await order({ ...closed, perSecond: offeredPerSecond, seconds });
    clearInterval(watch);
    note('');

    const accepted = result.acceptedMs.toSorted((a, b) => a - b);
    const refused = result.refusedMs.toSorted((a, b) => a - b);
    return {
      seconds,
      fullPerSecond,
      slowPerSecond,
      offeredPerSecond,
      acceptedPerSecond: perSecondOf(result),
      accepted: accepted.length,
      statuses: result.statuses,
      p50Ms: quantile(accepted, 0.5),
      p99Ms: quantile(accepted, 0.99),
      maxMs: accepted.at(-1) ?? Number.NaN,
      refusedP99Ms: quantile(refused, 0.99),
      idleMb,
      highestMb: Math.max(highestMb, await peakMb(child.pid)),
      lost: await countLost(databaseUrl, result.accepted),
      hasCrashed,
    };
  } finally {
    isEnding = true;
    proxy.narrow(undefined);
    load.kill();
    await endProcess(child);
  }
}

/** Each with a mailbox of its own. */
async function addTargets(port: number): Promise<Target[]> {
  const base = `http://127.0.0.1:${port}`;
  const targets: Target[] = [];
  for (let n = 1; n < SOURCES; n++) {
    const mailbox = await callMailgress(base, '/v1/mailboxes', { address: `grace${n}@example.org` });
    const source = await callMailgress(base, `/v1/mailboxes/${mailbox.id}/sources`, { kind: 'apps-script' });
    targets.push({ port, path: `/v1/ingest/apps-script/${source.id}`, secret: source.secret });
  }
  return targets;
}

/** The most that was resident at any time, by the kernel's own count. */
async function peakMb(pid: number | undefined): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return Math.round(Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024);
}

async function countLost(databaseUrl: string, messageIds: readonly string[]): Promise<number> {
  const sql = postgres(databaseUrl, { max: 1, onnotice: () => {} });
  const uuids = messageIds.map((id) => id.slice('msg_'.length));
  const [row] = await sql`
    SELECT count(*)::int AS lost FROM unnest(${uuids}::uuid[]) AS id
    WHERE NOT EXISTS (SELECT FROM messages WHERE messages.id = id.id)
       OR NOT EXISTS (SELECT FROM raw_mails WHERE message_id = id.id)
       OR NOT EXISTS (SELECT FROM events WHERE events.id = id.id)`;
  await sql.end();
  return row?.lost ?? messageIds.length;
}

const quantile = (sorted: readonly number[], share: number) =>
  sorted[Math.floor(share * (sorted.length - 1))] ?? Number.NaN;

export function printOverload(figures: OverloadFigures): string {
  const { seconds, statuses } = figures;
  const rate = (value: number) => `${value.toFixed(0)} mails/s`;
  const answers = Object.entries(statuses).map(([status, count]) => `${count} x ${status}`);
  return (
    `\nThe database slowed to a tenth, at three times the load that it can take, for ${seconds} s\n` +
    `  as fast as it goes           ${rate(figures.fullPerSecond)}\n` +
    `  on the narrow line           ${rate(figures.slowPerSecond)}\n` +
    `  offered                      ${rate(figures.offeredPerSecond)}\n` +
    `  accepted                     ${rate(figures.acceptedPerSecond)}, ${figures.accepted} in all, ${figures.lost} of them not stored\n` +
    `  answers                      ${answers.join(', ')}\n` +
    `  time of accepted             p50 ${figures.p50Ms.toFixed(0)} ms, p99 ${figures.p99Ms.toFixed(0)} ms, at most ${figures.maxMs.toFixed(0)} ms\n` +
    `  time of refused              p99 ${figures.refusedP99Ms.toFixed(0)} ms\n` +
    `  resident memory              ${figures.idleMb} MB before, ${figures.highestMb} MB at most\n` +
    `  crashed                      ${figures.hasCrashed ? 'yes' : 'no'}\n`
  );
}
