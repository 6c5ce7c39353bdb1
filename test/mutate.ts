import { type ChildProcess, fork } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { checkMail } from './core/check-mail.ts';
import { fixtures } from './core/mail/fixtures.ts';
import { mutantOf } from './core/mutate.ts';
import { rawMail } from './support/raw-mail.ts';

/*
 * Damages mails at random and checks what becomes of them, for as long as it is told to:
 *
 *   npm run mutate -- --count 1000000 [--seed n] [--jobs n]
 *   npm run mutate -- --seed n --only index       one of them, which is written to a file too
 *
 * Each job is a process, so that memory and CPU time are its own. A failure is written to a file and ends the run.
 */
type Report = { done: number; slowestMs: number; slowest: number; maxRssBytes: number; failure?: Failure };
type Failure = { index: number; file: string; message: string };

/** A job that says nothing for so long hangs. */
const SILENCE_MS = 60_000;
const REPORT_EVERY_MS = 500;
/** Most memory of a job, Node's own 100 MB included. */
const MOST_RSS_BYTES = 512 * 1024 * 1024;
/**
 * The heap of a job: what a mail needs of it must fit in, else the job ends. By itself Node lets garbage grow to 400 MB
 * on a large machine before it sweeps, which says nothing of a mail.
 */
const HEAP = ['--max-old-space-size=256', '--max-semi-space-size=16'];

const { values } = parseArgs({
  options: {
    count: { type: 'string', default: '10000' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
    jobs: { type: 'string', default: String(availableParallelism()) },
    only: { type: 'string' },
    job: { type: 'string' },
  },
});
const [count, seed, jobs] = [Number(values.count), Number(values.seed), Number(values.jobs)];
const mails = Object.values(fixtures).flatMap((table) => table.map(({ mail }) => rawMail(mail).bytes));

if (values.only !== undefined) await runOne(Number(values.only));
else if (values.job !== undefined) await runJob(Number(values.job));
else await runAll();

async function runOne(index: number): Promise<void> {
  const mail = mutantOf(mails, seed, index);
  console.log(`${mail.length} bytes in ${await keep(index, mail)}`);
  console.log(`valid, in ${(await checkMail(mail)).toFixed(1)} ms`);
}

/** The indexes of one job: each `jobs`th. */
async function runJob(job: number): Promise<void> {
  const report: Report = { done: 0, slowestMs: 0, slowest: job, maxRssBytes: 0 };
  const tell = () => {
    report.maxRssBytes = process.resourceUsage().maxRSS * 1024;
    process.send?.(report);
  };
  let toldMs = performance.now();
  for (let index = job; index < count && report.failure === undefined; index += jobs) {
    const mail = mutantOf(mails, seed, index);
    try {
      const cpuMs = await checkMail(mail);
      if (cpuMs > report.slowestMs) Object.assign(report, { slowestMs: cpuMs, slowest: index });
    } catch (error) {
      report.failure = { index, file: await keep(index, mail), message: String(error) };
    }
    report.done += 1;
    if (performance.now() - toldMs < REPORT_EVERY_MS) continue;
    tell();
    toldMs = performance.now();
  }
  tell();
  process.disconnect();
}

async function runAll(): Promise<void> {
  const startedMs = performance.now();
  const reports: Report[] = [];
  const children = Array.from({ length: jobs }, (_, job) => {
    const args = [...process.argv.slice(2), '--seed', String(seed), '--job', String(job)];
    const child = fork(import.meta.filename, args, { execArgv: [...process.execArgv, ...HEAP] });
    return follow(child, job, (report) => {
      reports[job] = report;
      if (report.failure !== undefined) for (const other of children) other.stop();
      if (process.stderr.isTTY) process.stderr.write(`\r${sum(reports)} of ${count}`);
    });
  });
  const endings = await Promise.all(children.map(({ ended }) => ended));
  const told = reports.flat();
  if (process.stderr.isTTY) process.stderr.write('\n');
  const elapsedS = (performance.now() - startedMs) / 1000;
  const slowest = told.reduce((one, other) => (other.slowestMs > one.slowestMs ? other : one));
  console.log(
    `seed ${seed}: ${sum(reports)} mails in ${elapsedS.toFixed(0)} s, ${(sum(reports) / elapsedS).toFixed(0)} a second, ` +
      `slowest ${slowest.slowestMs.toFixed(0)} ms of CPU (index ${slowest.slowest}), ` +
      `at most ${(Math.max(...told.map((one) => one.maxRssBytes)) / 1e6).toFixed(0)} MB a job`,
  );
  const greedy = reports.flatMap(({ maxRssBytes }, job) => (maxRssBytes > MOST_RSS_BYTES ? [job] : []));
  for (const job of greedy)
    console.log(`FAILED: job ${job} of ${jobs} took more than ${MOST_RSS_BYTES / 2 ** 20} MiB`);
  const failures = told.flatMap(({ failure }) => failure ?? []);
  for (const { index, file, message } of failures) {
    console.log(`FAILED: ${message}\n  in ${file}; again: npm run mutate -- --seed ${seed} --only ${index}`);
  }
  for (const ending of endings) if (ending !== undefined) console.log(`FAILED: ${ending}`);
  process.exitCode =
    failures.length + greedy.length > 0 || endings.some((ending) => ending !== undefined) ? 1 : 0;
}

type Followed = { ended: Promise<string | undefined>; stop(): void };

/** What is wrong with how it ended, if anything is. */
function follow(child: ChildProcess, job: number, onReport: (report: Report) => void): Followed {
  let last: Report | undefined;
  let isStopped = false;
  let isSilent = false;
  const where = () => `job ${job} of ${jobs} behind its mail ${last?.done ?? 0}, seed ${seed}`;
  const onSilence = () => {
    isSilent = true;
    child.kill('SIGKILL');
  };
  let timer = setTimeout(onSilence, SILENCE_MS);
  child.on('message', (message) => {
    clearTimeout(timer);
    timer = setTimeout(onSilence, SILENCE_MS);
    // The cast holds: runJob is the one that sends.
    last = message as Report;
    onReport(last);
  });
  const ended = new Promise<string | undefined>((resolve) => {
    child.on('exit', (code, signal) => {
      clearTimeout(timer);
      if (isSilent) resolve(`${where()} hangs`);
      else resolve(code === 0 || isStopped ? undefined : `${where()} ended by ${signal ?? code}`);
    });
  });
  return {
    ended,
    stop() {
      if (last?.failure !== undefined) return;
      isStopped = true;
      child.kill();
    },
  };
}

async function keep(index: number, mail: Uint8Array): Promise<string> {
  const file = join(tmpdir(), `mutate-${seed}-${index}.eml`);
  await writeFile(file, mail);
  return file;
}

function sum(reports: readonly Report[]): number {
  return reports.reduce((total, { done }) => total + done, 0);
}
