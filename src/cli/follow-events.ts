import { setTimeout as wait } from 'node:timers/promises';
import { z } from 'zod';
import { MailgressError } from '../core/errors.ts';
import { version } from '../version.ts';
import type { ByteStream, Client } from './client.ts';

const eventSchema = z.object({
  id: z.string(),
  type: z.string(),
  timestamp: z.string(),
  cursor: z.string(),
  data: z.record(z.string(), z.unknown()),
});
export type LoggedEvent = z.infer<typeof eventSchema>;

/** A step along the log: everything up to `cursor` has been given, `event` last if there is one. */
export type Step = { cursor: string; event: LoggedEvent | undefined };

/** The service is heard each 15 s; a connection that is silent for three of these is none. */
const SILENT_MS = 45_000;
const LONGEST_WAIT_MS = 30_000;
const FIRST_WAIT_MS = 500;

/**
 * The log from a place on, as long as it is asked for: a connection that ends is made again, with waits that grow, and
 * goes on behind the last step that was taken. Nothing is read ahead of who takes the steps but what the network holds.
 *
 * @param after a cursor, `start` or `now`.
 * @param signal ends it, without an error.
 * @param onBreak told what ended a connection, and when the next is tried.
 * @throws MailgressError what the first connection fails with, and later what no new connection mends.
 */
export async function* followEvents(
  client: Client,
  options: {
    after: string;
    types: string | undefined;
    signal: AbortSignal;
    onBreak?: (error: unknown, waitMs: number) => void;
    silentMs?: number;
  },
): AsyncGenerator<Step> {
  const { signal, onBreak, silentMs = SILENT_MS } = options;
  const types = options.types === undefined ? '' : `&types=${encodeURIComponent(options.types)}`;
  let { after } = options;
  let isFirst = true;
  let waitMs = FIRST_WAIT_MS;
  while (!signal.aborted) {
    const connection = new AbortController();
    try {
      const path = `/v1/events/stream?after=${encodeURIComponent(after)}${types}`;
      const opening = client.openStream(path, {}, AbortSignal.any([signal, connection.signal]));
      // Given up below, where it is aborted.
      opening.catch(() => {});
      const stream = await within(opening, silentMs);
      isFirst = false;
      let isGreeted = false;
      for await (const step of readSteps(stream, silentMs)) {
        after = step.cursor;
        // The first tells where it begins, also of a service that then ends it at once.
        if (isGreeted) waitMs = FIRST_WAIT_MS;
        isGreeted = true;
        yield step;
      }
      throw new MailgressError('service_unavailable', 'The service ended the stream');
    } catch (error) {
      if (signal.aborted) return;
      if (isFirst || isFinal(error)) throw error;
      onBreak?.(error, waitMs);
      await wait(waitMs, undefined, { signal }).catch(() => {});
      waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS);
    } finally {
      connection.abort();
    }
  }
}

/** What the service itself says no to. A stream that breaks off throws errors of the network. */
function isFinal(error: unknown): boolean {
  return (
    error instanceof z.ZodError || (error instanceof MailgressError && error.code !== 'service_unavailable')
  );
}

async function* readSteps(stream: ByteStream, silentMs: number): AsyncGenerator<Step> {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  try {
    for (;;) {
      const { done, value } = await within(reader.read(), silentMs);
      if (done) return;
      text += value;
      const blocks = text.split('\n\n');
      text = blocks.pop() ?? '';
      for (const block of blocks) {
        const step = readBlock(block);
        if (step !== undefined) yield step;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** What the service writes in a block; `retry` is for browsers. */
const FIELDS = ['id', 'data', 'retry'];

/**
 * One event of HTML's Server-Sent Events, as the service writes them: each field once and in one line, ends of LF.
 *
 * Whoever takes a step writes its cursor down. So a block that is not understood throws, whatever it was: were it left out, the
 * event in it would be lost for good.
 *
 * @returns undefined for what is no step: a heartbeat, a hint for browsers.
 */
function readBlock(block: string): Step | undefined {
  const fields = new Map<string, string>();
  for (const line of block.split('\n')) {
    // By plain search: JSON leaves U+2028 and U+2029 as they are, which end a line to a regular expression, and here none.
    const colon = line.indexOf(':');
    if (colon === 0) continue;
    const name = colon === -1 ? line : line.slice(0, colon);
    if (!FIELDS.includes(name) || fields.has(name))
      throw notUnderstood(`a field ${JSON.stringify(name.slice(0, 40))}`);
    fields.set(name, colon === -1 ? '' : line.slice(colon + (line[colon + 1] === ' ' ? 2 : 1)));
  }
  const cursor = fields.get('id');
  const data = fields.get('data');
  if (cursor === undefined && data !== undefined) throw notUnderstood('an event without an id');
  if (cursor === undefined) return undefined;
  return { cursor, event: data === undefined ? undefined : eventSchema.parse(parseData(data)) };
}

function parseData(data: string): unknown {
  try {
    return JSON.parse(data);
  } catch {
    // What the parser says holds words of the mail.
    throw notUnderstood('data that is no JSON');
  }
}

function notUnderstood(what: string): MailgressError {
  return new MailgressError(
    'bad_request',
    `The stream of events holds ${what}, and nothing was passed over: are service and mailgress ${version} the same version, \
and does something between them change what they say?`,
  );
}

async function within<T>(promise: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const message = `The service has been silent for ${ms / 1000} s: is it well, and what stands before it?`;
      reject(new MailgressError('service_unavailable', message));
    }, ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
