import type { MiddlewareHandler } from 'hono';
import { MailgressError } from '../core/errors.ts';
import { overloaded } from './overloaded.ts';

/** The bytes of a request's body, exactly as they came: signatures are over these. */
export type HeldBody = {
  bytes: Uint8Array;
  /** Gives the room back, once the request is done with them. Again is harmless. */
  release(): void;
};

type Room = { grow(bytes: number): boolean; release(): void };

/** Reads bodies, and never holds more of them than there is room for. */
export type Bodies = {
  /**
   * @throws MailgressError `body_too_large`, known by the announced length or while reading, and thrown once the client
   * has had its say; `overloaded` when there is no room, likewise; `body_too_slow`; `bad_request` if the body ended early.
   */
  read(request: Request, limitBytes: number): Promise<HeldBody>;
  isFull(): boolean;
  heldBytes(): number;
};

/**
 * So many bytes of bodies are held at a time: read, or being read, or of mails on their way to the store. A mail is held
 * in several forms at once (JSON, bytes, row), so that memory is some five times that at the worst.
 */
const MAX_HELD_BYTES = 64 * 1024 * 1024;

/** A body of up to so many bytes is read in one piece; most are. */
const SMALL_BYTES = 64 * 1024;

/** Each piece costs some 25 microseconds, however small: beyond so many they have to be of some use. */
const FREE_PIECES = 10_000;
const LEAST_PIECE_BYTES = 32;

/** In so long a small body has to be there, and a large one has to come on by `SMALL_BYTES`: 4 kB/s, less than a modem. */
const PACE_MS = 15_000;

/**
 * How long the rest of a body that is refused is still read. A close with bytes unread resets the connection, and with
 * it the answer, for every client that writes first and reads then. As long as nginx does it (lingering_time).
 */
const LINGER_MS = 30_000;

/**
 * Room is taken as the bytes come, so that what is merely announced holds none. One body alone always has room; of several
 * that are too much together the next to ask is refused, and leaves its room to the others.
 */
export function createBodies({ maxHeldBytes = MAX_HELD_BYTES, paceMs = PACE_MS } = {}): Bodies {
  let heldBytes = 0;

  function open(): Room {
    let own = 0;
    return {
      grow(bytes) {
        if (heldBytes > own && heldBytes + bytes > maxHeldBytes) return false;
        own += bytes;
        heldBytes += bytes;
        return true;
      },
      release() {
        heldBytes -= own;
        own = 0;
      },
    };
  }

  async function read(request: Request, limitBytes: number): Promise<HeldBody> {
    const room = open();
    try {
      const bytes = await readInto(room, request, limitBytes);
      return { bytes, release: room.release };
    } catch (error) {
      room.release();
      throw error;
    }
  }

  async function readInto(room: Room, request: Request, limitBytes: number): Promise<Uint8Array> {
    const announced = announcedBytes(request);
    if (announced !== undefined && announced > limitBytes) await refuse(request, tooLarge(limitBytes));
    if (announced !== undefined && announced <= SMALL_BYTES) {
      if (!room.grow(announced)) await refuse(request, overloaded());
      // The HTTP parser holds the body to its announced length, so it may be taken whole.
      return new Uint8Array(await inTime(request.arrayBuffer().catch(endedEarly), paceMs));
    }
    if (request.body === null) return new Uint8Array();
    const reader = request.body.getReader();
    const pile = createPile();
    let sizeBytes = 0;
    let pieces = 0;
    let goalBytes = SMALL_BYTES;
    let goalAtMs = performance.now() + paceMs;
    for (;;) {
      const { done, value } = await inTime(reader.read().catch(endedEarly), goalAtMs - performance.now());
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

  return { read, isFull: () => heldBytes >= maxHeldBytes, heldBytes: () => heldBytes };
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

const inCrumbs = () =>
  new MailgressError(
    'bad_request',
    'The body comes in too many pieces of a few bytes: send it in larger ones',
  );

/**
 * Refuses a request before its body is read into memory: what comes of it is thrown away, up to a time, so that the client
 * gets to the answer.
 *
 * @throws the error, always.
 */
export async function refuse(request: Request, error: MailgressError): Promise<never> {
  // Whoever asks first has not sent it, and is told not to.
  if (!awaitsContinue(request) && request.body !== null) {
    const announced = announcedBytes(request);
    if (announced !== undefined && announced <= SMALL_BYTES) {
      await inTime(request.arrayBuffer(), LINGER_MS).catch(() => {});
    } else {
      await linger(request.body.getReader());
    }
  }
  throw error;
}

/** Whether the client waits for a word before it sends its body (RFC 9110, section 10.1.1). */
export function awaitsContinue(request: Request): boolean {
  return request.headers.get('expect')?.toLowerCase() === '100-continue';
}

/** Of others, such as TRACE, a Request cannot even be made. */
const METHODS_WITH_BODY = new Set(['POST', 'PUT', 'PATCH', 'DELETE']);

/** Reads the body of every request that comes through, up to a limit, before what is behind looks into it. */
export function limitBody(bodies: Bodies, limitBytes: number): MiddlewareHandler {
  return async (c, next) => {
    if (!METHODS_WITH_BODY.has(c.req.method)) return next();
    const { bytes, release } = await bodies.read(c.req.raw, limitBytes);
    try {
      c.req.raw = new Request(c.req.raw, { body: Buffer.from(bytes) });
      await next();
    } finally {
      release();
    }
  };
}

type Reader = ReadableStreamDefaultReader<Uint8Array>;

function announcedBytes(request: Request): number | undefined {
  const announced = request.headers.get('content-length');
  return announced === null ? undefined : Number(announced);
}

async function inTime<T>(work: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const message = `The body came too slowly: ${SMALL_BYTES / 1024} KiB each ${PACE_MS / 1000} s is the least`;
      reject(new MailgressError('body_too_slow', message, { retryable: true }));
    }, ms);
  });
  work.catch(() => {});
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

async function linger(reader: Reader): Promise<void> {
  // A client that has gone does not see the answer, whatever it is.
  await inTime(readToEnd(reader), LINGER_MS).catch(() => {});
}

async function readToEnd(reader: Reader): Promise<void> {
  for (;;) {
    const { done } = await reader.read();
    if (done) return;
  }
}

function tooLarge(limitBytes: number): MailgressError {
  return new MailgressError('body_too_large', `The body may have at most ${limitBytes} bytes`);
}

function endedEarly(cause: unknown): never {
  throw new MailgressError('bad_request', 'The body ended early', { cause });
}
