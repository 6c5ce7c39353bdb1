import { MailgressError } from '../core/errors.ts';
import { type Room, SMALL_BYTES } from './body-room.ts';
import { overloaded } from './overloaded.ts';
import { announcedBytes, linger, refuse } from './refuse.ts';

/** Each piece costs some 25 microseconds, however small: beyond so many they have to be of some use. */
const FREE_PIECES = 10_000;
const LEAST_PIECE_BYTES = 32;

/**
 * The bytes of a body, read into `room` at a pace: within `paceMs` a small one has to be here, and a large one has to come on
 * by `SMALL_BYTES`.
 *
 * @throws MailgressError `body_too_large`, `overloaded`, `body_too_slow`, `bad_request`, as `Bodies` says. The room is the
 * caller's to release.
 */
export async function readBody(
  request: Request,
  { room, limitBytes, paceMs }: { room: Room; limitBytes: number; paceMs: number },
): Promise<Uint8Array> {
  const announced = announcedBytes(request);
  if (announced !== undefined && announced > limitBytes) await refuse(request, tooLarge(limitBytes));
  if (announced !== undefined && announced <= SMALL_BYTES) {
    if (!room.grow(announced)) await refuse(request, overloaded());
    // The HTTP parser holds the body to its announced length, so it may be taken whole.
    return new Uint8Array(await inPace(request.arrayBuffer().catch(endedEarly), paceMs, paceMs));
  }
  if (request.body === null) return new Uint8Array();
  const reader = request.body.getReader();
  const pile = createPile();
  let sizeBytes = 0;
  let pieces = 0;
  let goalBytes = SMALL_BYTES;
  let goalAtMs = performance.now() + paceMs;
  for (;;) {
    const leftMs = Math.max(0, goalAtMs - performance.now());
    const { done, value } = await inPace(reader.read().catch(endedEarly), leftMs, paceMs);
    if (done) return pile.take(sizeBytes);
    sizeBytes += value.length;
    pieces++;
    const fault =
      sizeBytes > limitBytes
        ? tooLarge(limitBytes)
        : pieces > FREE_PIECES && sizeBytes < pieces * LEAST_PIECE_BYTES
          ? inCrumbs()
          : room.grow(value.length)
            ? undefined
            : overloaded();
    if (fault !== undefined) {
      pile.drop();
      room.release();
      await linger(reader);
      throw fault;
    }
    pile.add(value);
    if (sizeBytes >= goalBytes) {
      goalBytes = sizeBytes + SMALL_BYTES;
      goalAtMs = performance.now() + paceMs;
    }
  }
}

/** The bytes of a body in blocks: a chunk of one byte costs a byte, and not the objects that it came in. */
function createPile() {
  const full: Uint8Array[] = [];
  let block = new Uint8Array();
  let used = 0;
  return {
    add(bytes: Uint8Array): void {
      for (let rest = bytes; rest.length > 0; ) {
        if (used === block.length) {
          if (used > 0) full.push(block);
          block = new Uint8Array(SMALL_BYTES);
          used = 0;
        }
        const part = rest.subarray(0, block.length - used);
        block.set(part, used);
        used += part.length;
        rest = rest.subarray(part.length);
      }
    },
    take: (sizeBytes: number): Uint8Array => Buffer.concat([...full, block.subarray(0, used)], sizeBytes),
    drop(): void {
      full.length = 0;
      block = new Uint8Array();
      used = 0;
    },
  };
}

async function inPace<T>(work: Promise<T>, leftMs: number, paceMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const message = `The body came too slowly: ${SMALL_BYTES / 1024} KiB each ${paceMs / 1000} s is the least`;
      reject(new MailgressError('body_too_slow', message, { retryable: true }));
    }, leftMs);
  });
  work.catch(() => {});
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

function tooLarge(limitBytes: number): MailgressError {
  return new MailgressError('body_too_large', `The body may have at most ${limitBytes} bytes`);
}

function inCrumbs(): MailgressError {
  const message = 'The body comes in too many pieces of a few bytes: send it in larger ones';
  return new MailgressError('bad_request', message);
}

function endedEarly(cause: unknown): never {
  throw new MailgressError('bad_request', 'The body ended early', { cause });
}
