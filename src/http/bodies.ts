import type { MiddlewareHandler } from 'hono';
import { createBodyRoom } from './body-room.ts';
import { readBody } from './read-body.ts';
import { announcedBytes } from './refuse.ts';

/** The bytes of a request's body, exactly as they came: signatures are over these. */
export type HeldBody = {
  bytes: Uint8Array;
  /** Gives the room back, once the request is done with them. Again is harmless. */
  release(): void;
};

/** Reads bodies, as far as there is room for them. */
export type Bodies = {
  /**
   * @throws MailgressError `body_too_large`, known by the announced length or while reading, and thrown once the client
   * has had its say; `overloaded` when there is no room, likewise; `body_too_slow`; `bad_request` if the body ended early.
   */
  read(request: Request, limitBytes: number): Promise<HeldBody>;
  /** Whether a body of the size that the request announces would be refused now. */
  isFullFor(request: Request): boolean;
  heldBytes(): number;
};

/**
 * So many bytes of bodies are held at a time, and one large body beside as many small ones: read, or being read, or of mails on
 * their way to the store. A mail is held in several forms at once (JSON, bytes, row), so that memory is some five times that at
 * the worst.
 */
const MAX_HELD_BYTES = 64 * 1024 * 1024;

/** A large body comes on by 64 KiB in each: 4 kB/s, less than a modem. */
const PACE_MS = 15_000;

export function createBodies({ maxHeldBytes = MAX_HELD_BYTES, paceMs = PACE_MS } = {}): Bodies {
  const room = createBodyRoom(maxHeldBytes);
  return {
    async read(request, limitBytes) {
      const own = room.open();
      try {
        const bytes = await readBody(request, { room: own, limitBytes, paceMs });
        return { bytes, release: own.release };
      } catch (error) {
        own.release();
        throw error;
      }
    },
    isFullFor: (request) => room.isFullFor(announcedBytes(request)),
    heldBytes: room.heldBytes,
  };
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
