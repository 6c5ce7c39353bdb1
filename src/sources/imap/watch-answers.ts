import type { ImapFlow } from 'imapflow';
import { watchForFlood } from './flood.ts';
import { ImapError } from './imap-error.ts';
import { watchForStall } from './stall.ts';

/** The measure of an answer. One that is beyond it ends the connection. */
export type AnswerLimits = {
  /** How long all of it may take. */
  deadlineMs?: number | undefined;
  /** Of a long answer: it is also too late as soon as it stalls, or comes more slowly. */
  leastBytesPerSecond?: number | undefined;
  /** Of all that comes until it is complete, asked for or not. */
  mostBytes?: number | undefined;
};

/** What a command that has little to say answers, or comes unasked: a line for each change. */
export const SHORT_ANSWER_BYTES = 1024 * 1024;
const UNASKED_LOOK_MS = 1000;
/** A server that is asked may be a fast one. */
const ASKED_LOOK_MS = 100;
/** A long answer may stall for as long as so many short ones may take. */
const STALL_COMMANDS = 3;

/** Holds what a server sends to a measure, in bytes and in time. */
export type AnswerWatch = {
  /** Waits for an answer, and holds it to these limits. */
  asked<T>(work: () => Promise<T>, limits: AnswerLimits): Promise<T>;
  /** From now on nothing is asked. */
  unasked(): void;
  /** More has come, as somebody knows. */
  look(): void;
  stop(): void;
};

/**
 * @param commandMs how long an answer may take that nothing else is said of.
 * @param leave is to close the connection, and to tell why.
 */
export function watchAnswers(
  client: ImapFlow,
  { host, commandMs }: { host: string; commandMs: number },
  leave: (why: ImapError) => void,
): AnswerWatch {
  const received = () => client.stats().received;
  let flood: ReturnType<typeof watchForFlood> | undefined;

  function watchFlood(mostBytes: number, lookMs: number, what: string): void {
    flood?.stop();
    flood = watchForFlood(received, { mostBytes, lookMs }, () =>
      leave(new ImapError('protocol', `${host} ${what} (over ${mostBytes} bytes)`)),
    );
  }

  const watch: AnswerWatch = {
    async asked(work, { deadlineMs = commandMs, leastBytesPerSecond = 0, mostBytes = SHORT_ANSWER_BYTES }) {
      watchFlood(mostBytes, ASKED_LOOK_MS, 'answers with more than was asked for');
      const graceMs = STALL_COMMANDS * commandMs;
      const stopStall =
        leastBytesPerSecond === 0
          ? () => {}
          : watchForStall(received, { leastBytesPerSecond, graceMs }, () => leave(stalled()));
      try {
        return await withDeadline(work(), deadlineMs);
      } finally {
        stopStall();
        flood?.stop();
        if (client.usable && !client.isClosed) watch.unasked();
      }
    },
    unasked: () =>
      watchFlood(SHORT_ANSWER_BYTES, UNASKED_LOOK_MS, 'sends without end although nothing was asked'),
    look: () => flood?.look(),
    stop: () => flood?.stop(),
  };

  function stalled(): ImapError {
    return new ImapError('network', `${host} has stopped in the middle of an answer, or sends it too slowly`);
  }

  /** Closes what does not answer: whatever comes later would be taken for the answer to the next command. */
  async function withDeadline<T>(work: Promise<T>, deadlineMs: number): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(
          new ImapError('network', `${host} has not answered for ${Math.round(deadlineMs / 1000)} seconds`),
        );
        client.close();
      }, deadlineMs);
    });
    try {
      return await Promise.race([work, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  return watch;
}
