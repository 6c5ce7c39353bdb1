import type { MiddlewareHandler } from 'hono';
import { MailgressError } from '../core/errors.ts';

/**
 * How long the rest of a body that is refused is still read. A close with bytes unread resets the connection, and with
 * it the answer, for every client that writes first and reads then. As long as nginx does it (lingering_time).
 */
const LINGER_MS = 30_000;

/**
 * The request's bytes, exactly as they came: signatures are over these.
 *
 * @throws MailgressError `body_too_large`, known by the announced length or while reading, and thrown once the client
 * has had its say; `bad_request` if the body ended early.
 */
export async function readBody(request: Request, limitBytes: number): Promise<Uint8Array> {
  const announced = request.headers.get('content-length');
  if (announced !== null && Number(announced) <= limitBytes) {
    // The HTTP parser holds the body to its announced length, so it may be taken whole.
    return new Uint8Array(await request.arrayBuffer().catch(endedEarly));
  }
  if (request.body === null) return new Uint8Array();
  const reader = request.body.getReader();
  return announced === null ? readChunks(reader, limitBytes) : refuseRest(reader, limitBytes);
}

/** Of others, such as TRACE, a Request cannot even be made. */
const METHODS_WITH_BODY = new Set(['POST', 'PUT', 'PATCH', 'DELETE']);

/** Reads the body of every request that comes through, up to a limit, before what is behind looks into it. */
export function limitBody(limitBytes: number): MiddlewareHandler {
  return async (c, next) => {
    if (METHODS_WITH_BODY.has(c.req.method)) {
      const body = Buffer.from(await readBody(c.req.raw, limitBytes));
      c.req.raw = new Request(c.req.raw, { body });
    }
    await next();
  };
}

type Reader = ReadableStreamDefaultReader<Uint8Array>;

async function readChunks(reader: Reader, limitBytes: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  for (;;) {
    const { done, value } = await reader.read().catch(endedEarly);
    if (done) return Buffer.concat(chunks, sizeBytes);
    sizeBytes += value.length;
    if (sizeBytes > limitBytes) {
      chunks.length = 0;
      return refuseRest(reader, limitBytes);
    }
    chunks.push(value);
  }
}

async function refuseRest(reader: Reader, limitBytes: number): Promise<never> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise((resolve) => {
    timer = setTimeout(resolve, LINGER_MS);
  });
  // A client that has gone does not see the answer, whatever it is.
  await Promise.race([readToEnd(reader).catch(() => {}), late]);
  clearTimeout(timer);
  throw new MailgressError('body_too_large', `The body may have at most ${limitBytes} bytes`);
}

async function readToEnd(reader: Reader): Promise<void> {
  for (;;) {
    const { done } = await reader.read();
    if (done) return;
  }
}

function endedEarly(cause: unknown): never {
  throw new MailgressError('bad_request', 'The body ended early', { cause });
}
