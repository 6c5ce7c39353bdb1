import { MailgressError } from '../core/errors.ts';

/**
 * The request's bytes, exactly as they came: signatures are over these.
 *
 * @throws MailgressError `body_too_large` as soon as it is known, by the announced length or while reading;
 * `bad_request` if the body ended early.
 */
export async function readBody(request: Request, limitBytes: number): Promise<Uint8Array> {
  const announced = request.headers.get('content-length');
  if (announced !== null) {
    if (Number(announced) > limitBytes) throw tooLarge(limitBytes);
    // The HTTP parser holds the body to its announced length, so it may be taken whole.
    return new Uint8Array(await request.arrayBuffer().catch(endedEarly));
  }
  return request.body === null ? new Uint8Array() : readChunks(request.body, limitBytes);
}

async function readChunks(body: ReadableStream<Uint8Array>, limitBytes: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  const reader = body.getReader();
  for (;;) {
    const { done, value } = await reader.read().catch(endedEarly);
    if (done) return Buffer.concat(chunks, sizeBytes);
    sizeBytes += value.length;
    if (sizeBytes > limitBytes) {
      await reader.cancel();
      throw tooLarge(limitBytes);
    }
    chunks.push(value);
  }
}

function tooLarge(limitBytes: number): MailgressError {
  return new MailgressError('body_too_large', `The body may have at most ${limitBytes} bytes`);
}

function endedEarly(cause: unknown): never {
  throw new MailgressError('bad_request', 'The body ended early', { cause });
}
