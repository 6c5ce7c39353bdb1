import { Worker } from 'node:worker_threads';
import { findAttachmentContent } from '../core/attachment-content.ts';
import { createByteBudget } from '../core/byte-budget.ts';
import { MailgressError } from '../core/errors.ts';
import type { AttachmentTask } from './attachment-thread.ts';

export type AttachmentReader = {
  /**
   * The content of an attachment; undefined if there is none. One mail is read at a time.
   *
   * @param mail is given away: its buffer cannot be used after the call.
   * @param signal ends the reading.
   *
   * @throws MailgressError `overloaded` for a mail that is not read within 8 s or 512 MiB, besides its bytes.
   */
  read(mail: Uint8Array, index: number, signal: AbortSignal): Promise<Uint8Array | undefined>;
  close(): Promise<void>;
};

/** Read where it is; as in `ingest.ts`. */
const SMALL_BYTES = 16 * 1024;
/** The worst mail takes 2.5 s; a request waits no longer than 15. */
const DEADLINE_MS = 8000;
const IDLE_MS = 10_000;
const MAX_HEAP_MB = 512;

/** Takes attachments out of mails, in a thread: a mail of 50 MB takes a second in which nothing else would be done. */
export function createAttachmentReader(): AttachmentReader {
  const turns = createByteBudget(1);
  const closing = new AbortController();
  let thread: Worker | undefined;
  let idle: NodeJS.Timeout | undefined;

  async function endThread(): Promise<void> {
    clearTimeout(idle);
    const ended = thread;
    thread = undefined;
    await ended?.terminate();
  }

  async function readInThread(task: AttachmentTask, signal: AbortSignal): Promise<Uint8Array | undefined> {
    clearTimeout(idle);
    thread ??= startThread();
    const current = thread;
    let stopListening = () => {};
    try {
      return await new Promise<Uint8Array | undefined>((resolve, reject) => {
        const fail = (why: string) => {
          const message = `The attachment could not be read: the mail takes ${why}`;
          reject(new MailgressError('overloaded', message, { retryable: true }));
        };
        const onEnd = () => fail(`more than ${MAX_HEAP_MB} MiB`);
        const onAbort = () => reject(signal.reason);
        const late = setTimeout(() => fail(`longer than ${DEADLINE_MS} ms`), DEADLINE_MS);
        current.on('message', resolve).on('error', onEnd).on('exit', onEnd);
        signal.addEventListener('abort', onAbort);
        stopListening = () => {
          clearTimeout(late);
          signal.removeEventListener('abort', onAbort);
          current.off('message', resolve).off('error', onEnd).off('exit', onEnd);
        };
        current.postMessage(task, [task.mail.buffer as ArrayBuffer]);
      });
    } catch (error) {
      await endThread();
      throw error;
    } finally {
      stopListening();
      if (thread !== undefined) idle = setTimeout(() => void endThread(), IDLE_MS).unref();
    }
  }

  return {
    async read(mail, index, caller) {
      if (mail.length <= SMALL_BYTES) return (await findAttachmentContent(mail, index))?.content;
      const signal = AbortSignal.any([caller, closing.signal]);
      const giveBack = await turns.take(1, signal);
      try {
        signal.throwIfAborted();
        return await readInThread({ mail, index }, signal);
      } finally {
        giveBack();
      }
    },
    async close() {
      closing.abort(new MailgressError('overloaded', 'The service is stopping', { retryable: true }));
      await endThread();
    },
  };
}

function startThread(): Worker {
  const started = new Worker(PROGRAM, { resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MB } });
  // Requests under way keep the process alive, not a thread. One that fails while nobody waits for it has ended.
  started.on('error', () => {}).unref();
  return started;
}

/** Beside this file, as the sources have it or compiled. */
const PROGRAM = new URL(
  import.meta.url.endsWith('.ts') ? './attachment-thread.ts' : './attachment-thread.js',
  import.meta.url,
);
