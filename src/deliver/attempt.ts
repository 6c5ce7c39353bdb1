import type { Dispatcher } from 'undici';
import { type AttemptError, classifyError } from './attempt-error.ts';

/** How much of an answer's body is kept to show what a consumer said. */
const EXCERPT_BYTES = 1024;

/** Up to here a body is read to its end, so that the connection can be used again; a longer one costs it. */
const MAX_BODY_BYTES = 64 * 1024;

type Answered = { statusCode: number; error: null };
type Unanswered = { statusCode: null; error: AttemptError };

/**
 * How an attempt ended: with a status, or with an error and none.
 *
 * `responseExcerpt` is the text of the body's first 1 KiB read as UTF-8, fit for PostgreSQL: well-formed,
 * without NUL, both shown as U+FFFD; '' for an empty body, null without a status. `retryAfter` is that header
 * as sent.
 */
export type AttemptResult = (Answered | Unanswered) & {
  durationMs: number;
  responseExcerpt: string | null;
  retryAfter: string | undefined;
};

/**
 * One attempt: the handler undici reports to, and the one deadline over everything from the wait for a
 * connection to the end of the body. It settles exactly once, whatever undici does later.
 *
 * The status is the answer. Once it has arrived the attempt cannot fail any more: a body that is cut off,
 * malformed, longer than 64 KiB or slower than `bodyMs` is abandoned together with its connection.
 */
export class Attempt implements Dispatcher.DispatchHandler {
  readonly result: Promise<AttemptResult>;
  readonly #bodyMs: number;
  readonly #startedAt = performance.now();
  readonly #deadlineAt: number;
  #timer: NodeJS.Timeout;
  #resend: ((error: Error) => boolean) | null;
  #settle: ((result: AttemptResult) => void) | null = null;
  #controller: Dispatcher.DispatchController | null = null;
  #statusCode: number | null = null;
  #retryAfter: string | undefined;
  #excerpt: Buffer[] = [];
  #bodyBytes = 0;

  /**
   * `resend(error)` may send the request again under this attempt and says whether it did. It is asked once at
   * most, at the first error before any status.
   */
  constructor(options: { timeoutMs: number; bodyMs: number; resend: (error: Error) => boolean }) {
    this.#resend = options.resend;
    this.#bodyMs = options.bodyMs;
    this.#deadlineAt = this.#startedAt + options.timeoutMs;
    this.#timer = setTimeout(() => this.#expire(options.timeoutMs), options.timeoutMs);
    this.result = new Promise((settle) => {
      this.#settle = settle;
    });
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    // A request cannot be taken out of undici's queue. Thrown here it is dropped unsent and the connection
    // stays good for the next; controller.abort() would close the connection, once for each request that waited
    // too long.
    if (this.#settle === null) throw new Error('the attempt was over before a connection was free');
    this.#controller = controller;
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    statusCode: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    if (statusCode < 200) return; // 102 and 103 announce the answer; they are none.
    this.#statusCode = statusCode;
    this.#retryAfter = [headers['retry-after']].flat()[0];
    const leftMs = this.#deadlineAt - performance.now();
    if (leftMs <= this.#bodyMs) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#abandon(), this.#bodyMs);
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    // A copy: the chunk shares its memory with the socket's read buffer and would keep all of it alive.
    if (this.#bodyBytes < EXCERPT_BYTES)
      this.#excerpt.push(Buffer.from(chunk.subarray(0, EXCERPT_BYTES - this.#bodyBytes)));
    this.#bodyBytes += chunk.length;
    if (this.#bodyBytes > MAX_BODY_BYTES) this.#abandon();
  }

  onResponseEnd(): void {
    this.#finish(null);
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    if (this.#settle === null) return;
    const resend = this.#resend;
    this.#resend = null;
    if (this.#statusCode === null && resend?.(error)) return;
    this.#finish(classifyError(error));
  }

  #expire(timeoutMs: number): void {
    const missing = this.#controller === null ? 'connection' : 'answer';
    const error = { code: 'timeout', message: `no ${missing} within ${timeoutMs} ms` } as const;
    this.#finish(error);
    this.#controller?.abort(new Error(error.message));
  }

  /** Ends with the status there is; what remains of the body goes down with the connection. */
  #abandon(): void {
    this.#finish(null);
    this.#controller?.abort(new Error('the rest of the answer is not needed'));
  }

  /** `error` counts only where no status arrived. */
  #finish(error: AttemptError | null): void {
    const settle = this.#settle;
    if (settle === null) return;
    this.#settle = null;
    clearTimeout(this.#timer);
    const durationMs = Math.round(performance.now() - this.#startedAt);
    if (this.#statusCode !== null)
      settle({
        statusCode: this.#statusCode,
        error: null,
        durationMs,
        responseExcerpt: decodeExcerpt(this.#excerpt),
        retryAfter: this.#retryAfter,
      });
    else
      settle({
        statusCode: null,
        error: error ?? { code: 'protocol', message: 'the answer ended without a status' },
        durationMs,
        responseExcerpt: null,
        retryAfter: undefined,
      });
  }
}

function decodeExcerpt(chunks: Buffer[]): string {
  if (chunks.length === 0) return '';
  // `stream` leaves out the character that the cut went through, instead of putting U+FFFD for it.
  const text = new TextDecoder().decode(Buffer.concat(chunks), { stream: true });
  return text.replaceAll('\0', '\ufffd');
}
