import { Worker } from 'node:worker_threads';
import { describeError, MailgressError } from '../core/errors.ts';
import type { MailRow } from '../store/mail-row.ts';
import { packTasks } from './packing.ts';
import { type PrepareTask, prepareMail, prepareUnreadable } from './prepare-mail.ts';

export type LaneOptions = {
  /** A group holds at most so many mails and bytes; a larger mail goes alone. */
  maxMails: number;
  maxBytes: number;
  /** Beyond so many bytes waiting, a mail is refused. One is always taken. */
  maxWaitingBytes: number;
  /** A thread that takes longer over a group is ended. */
  deadlineMs: number;
  /** A thread without work is ended after so long, and gives its memory back. */
  idleMs: number;
  /** Most memory of its JavaScript objects, in MiB; a thread that needs more ends. Buffers do not count. */
  maxHeapMb: number;
  report: LaneReport;
  /** The thread's program, for tests. */
  program?: URL;
};

export type LaneReport = {
  /** A mail was kept unread. */
  unreadable(task: PrepareTask, reason: string): void;
  /** A thread could not be started, or ended for no mail's sake; its mails were read here. */
  threadLost(reason: string): void;
};

export type Lane = {
  /** @throws MailgressError `overloaded` */
  prepare(task: PrepareTask): Promise<MailRow>;
  close(): Promise<void>;
};

/** A failed group's mails are suspects: each goes alone then. */
type Job = {
  isSuspect: boolean;
  task: PrepareTask;
  resolve: (row: MailRow) => void;
  reject: (error: unknown) => void;
};

/**
 * One thread and the mails that wait for it. Mails that come while it works go to it together.
 *
 * A group that takes too long, or more memory than there is, ends the thread. Its mails then go to a new one, each
 * alone. One that does so again is unreadable: it is kept with its headers and bytes, and holds up nobody else. So a
 * machine that slept over a deadline makes no mail unreadable. Any other end of a thread says nothing of the mails:
 * they are read here.
 */
export function createLane(options: LaneOptions): Lane {
  let waiting: Job[] = [];
  let waitingBytes = 0;
  const suspects: Job[] = [];
  let group: Job[] | undefined;
  let thread: Worker | undefined;
  let deadline: NodeJS.Timeout | undefined;
  let idle: NodeJS.Timeout | undefined;
  let isClosed = false;

  function work(): void {
    if (group !== undefined || isClosed) return;
    clearTimeout(idle);
    const next = takeGroup();
    if (next.length === 0) {
      idle = setTimeout(() => void endThread(), options.idleMs).unref();
      return;
    }
    group = next;
    try {
      thread ??= startThread();
      const packed = packTasks(next.map(({ task }) => task));
      thread.postMessage(packed, [packed.bytes]);
      deadline = setTimeout(() => suspect(`not read in ${options.deadlineMs} ms`), options.deadlineMs);
    } catch (error) {
      readHere(describeError(error));
    }
  }

  function takeGroup(): Job[] {
    const first = suspects.shift();
    if (first !== undefined) return [first];
    let count = 0;
    let bytes = 0;
    for (const { task } of waiting) {
      const size = task.mail.bytes.length;
      if (count > 0 && (count >= options.maxMails || bytes + size > options.maxBytes)) break;
      count++;
      bytes += size;
    }
    waitingBytes -= bytes;
    const taken = waiting.slice(0, count);
    waiting = waiting.slice(count);
    return taken;
  }

  function startThread(): Worker {
    const started = new Worker(options.program ?? PROGRAM, {
      resourceLimits: { maxOldGenerationSizeMb: options.maxHeapMb },
    });
    started.on('message', (rows: MailRow[]) => {
      if (started !== thread || group === undefined) return;
      const done = settle();
      for (const [index, job] of done.entries()) {
        const row = rows[index];
        if (row === undefined) job.reject(new MailgressError('internal', 'A thread lost a mail'));
        else job.resolve(row);
      }
      work();
    });
    started.on('error', (error) => {
      if (started !== thread) return;
      const isOutOfMemory = 'code' in error && error.code === 'ERR_WORKER_OUT_OF_MEMORY';
      if (isOutOfMemory) suspect(`not read in ${options.maxHeapMb} MiB`);
      else readHere(describeError(error));
    });
    started.on('exit', (code) => started === thread && readHere(`the thread ended with ${code}`));
    // Requests under way keep the process alive, not a thread.
    started.unref();
    return started;
  }

  function settle(): Job[] {
    clearTimeout(deadline);
    const settled = group ?? [];
    group = undefined;
    return settled;
  }

  function suspect(reason: string): void {
    void endThread();
    for (const job of settle()) {
      if (!job.isSuspect) {
        suspects.push({ ...job, isSuspect: true });
      } else {
        options.report.unreadable(job.task, reason);
        prepareUnreadable(job.task).then(job.resolve, job.reject);
      }
    }
    work();
  }

  function readHere(reason: string): void {
    void endThread();
    options.report.threadLost(reason);
    for (const job of settle()) prepareMail(job.task).then(job.resolve, job.reject);
    work();
  }

  async function endThread(): Promise<void> {
    const ended = thread;
    thread = undefined;
    await ended?.terminate();
  }

  return {
    prepare(task) {
      if (isClosed) return Promise.reject(stopping());
      const size = task.mail.bytes.length;
      if (waitingBytes > 0 && waitingBytes + size > options.maxWaitingBytes) {
        const message = 'Too much mail is waiting to be read; send it again shortly';
        return Promise.reject(new MailgressError('overloaded', message, { retryable: true }));
      }
      return new Promise((resolve, reject) => {
        waiting.push({ isSuspect: false, task, resolve, reject });
        waitingBytes += size;
        work();
      });
    },
    async close() {
      isClosed = true;
      clearTimeout(idle);
      for (const job of [...settle(), ...suspects, ...waiting]) job.reject(stopping());
      await endThread();
    },
  };
}

const stopping = () => new MailgressError('overloaded', 'The service is stopping', { retryable: true });

/** Beside this file, as the sources have it or compiled. */
const PROGRAM = new URL(import.meta.url.endsWith('.ts') ? './thread.ts' : './thread.js', import.meta.url);
