import { setTimeout as wait } from 'node:timers/promises';
import { SMALL_BYTES } from './body-room.ts';

/**
 * How long the rest of a body that is refused is still read. A close with bytes unread resets the connection, and with
 * it the answer, for every client that writes first and reads then. As long as nginx does it (lingering_time).
 */
const LINGER_MS = 30_000;

/**
 * Refuses a request before its body is read into memory: what comes of it is thrown away, up to a time, so that the client
 * gets to the answer.
 *
 * @throws the error, always.
 */
export async function refuse(request: Request, error: unknown): Promise<never> {
  // Whoever asks first has not sent it, and is told not to.
  if (!awaitsContinue(request) && request.body !== null) {
    const announced = announcedBytes(request);
    // The short way of most: reading in pieces takes longer.
    const read =
      announced !== undefined && announced <= SMALL_BYTES
        ? request.arrayBuffer()
        : readToEnd(request.body.getReader());
    await atMost(LINGER_MS, read);
  }
  throw error;
}

/** Reads and throws away what still comes of a body that was begun on, up to a time. */
export async function linger(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
  await atMost(LINGER_MS, readToEnd(reader));
}

/** Whether the client waits for a word before it sends its body (RFC 9110, section 10.1.1). */
export function awaitsContinue(request: Request): boolean {
  return request.headers.get('expect')?.toLowerCase() === '100-continue';
}

/** What the head says of the size of the body; undefined: nothing. */
export function announcedBytes(request: Request): number | undefined {
  const announced = request.headers.get('content-length');
  return announced === null ? undefined : Number(announced);
}

async function readToEnd(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
  for (;;) {
    const { done } = await reader.read();
    if (done) return;
  }
}

/** Never throws: a client that has gone does not see the answer, whatever it is. */
async function atMost(ms: number, reading: Promise<unknown>): Promise<void> {
  const patience = new AbortController();
  const late = wait(ms, undefined, { signal: patience.signal });
  await Promise.race([reading, late])
    .catch(() => {})
    .finally(() => patience.abort());
  late.catch(() => {});
}
