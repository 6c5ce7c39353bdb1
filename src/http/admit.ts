import { setTimeout as wait } from 'node:timers/promises';
import type { Context } from 'hono';
import { MailgressError } from '../core/errors.ts';
import { type Id, isId } from '../core/ids.ts';
import { findHeaderFault, type SignatureHeaders, verify } from '../core/signature.ts';
import type { IngressSource } from '../store/sources.ts';
import { overloaded } from './overloaded.ts';
import { refuse } from './refuse.ts';
import type { Services } from './services.ts';

export type Push = { source: IngressSource; bytes: Uint8Array };

/**
 * Lets a push in, and has it worked on: first, while its body is still unread, whether its source may push now, whether there
 * is room, whether it may be signed at all, and whether there is such a source; then its bytes and signature; then a place
 * among those that are at work.
 *
 * @param work what is done with it. The place and the room of its body are given back when this has ended.
 * @throws MailgressError `rate_limited` or `overloaded`: nothing was done. `body_too_slow`, `body_too_large`,
 * `bad_request` for a body that ended early. `unauthorized` for an unknown source, a source of another kind and a bad
 * signature, in the same words; that the first two are told sooner helps nobody to guess an id of 80 random bits.
 * `source_stopped`.
 */
export async function admit<T>(
  c: Context,
  kind: 'apps-script' | 'raw',
  services: Services,
  work: (push: Push) => Promise<T>,
): Promise<T> {
  try {
    return await letIn(c, kind, services, work);
  } catch (error) {
    if (error instanceof MailgressError && TURNED_AWAY.has(error.code))
      services.metrics.turnedAway(error.code);
    throw error;
  }
}

const TURNED_AWAY: ReadonlySet<string> = new Set(['rate_limited', 'overloaded', 'body_too_slow']);

async function letIn<T>(
  c: Context,
  kind: 'apps-script' | 'raw',
  services: Services,
  work: (push: Push) => Promise<T>,
): Promise<T> {
  const { gate, sourceRate, bodies, bodyLimitBytes } = services;
  const name = (c.req.param('sourceId') ?? '').slice(0, 64);
  const waitMs = sourceRate.waitMs(name);
  if (waitMs > 0) await turnAway(refuse(c.req.raw, tooMuchMail(waitMs)));
  if (gate.isFull(name) || bodies.isFullFor(c.req.raw)) await turnAway(refuse(c.req.raw, overloaded()));
  const headers = {
    id: c.req.header('webhook-id'),
    timestamp: c.req.header('webhook-timestamp'),
    signature: c.req.header('webhook-signature'),
  };
  const sourceId = c.req.param('sourceId') ?? '';
  const id = await findByHead().catch((error) => refuse(c.req.raw, error));

  const { bytes, release } = await bodies.read(c.req.raw, bodyLimitBytes);
  try {
    // Its source may have to be looked for, in a store that is slow.
    const place = gate.enter(name);
    if (place === undefined) {
      release();
      return await turnAway(Promise.reject(overloaded()));
    }
    let isVerified = false;
    try {
      const source = await verifySource(id, { kind, bytes, headers }, services);
      isVerified = true;
      return await work({ source, bytes });
    } finally {
      place.leave(isVerified);
    }
  } finally {
    release();
  }

  /** What the head alone can tell: strangers are not worth the room that their bodies would take. */
  async function findByHead(): Promise<Id<'src'>> {
    if (findHeaderFault(headers, new Date()) !== undefined || !isId('src', sourceId)) throw unauthorized();
    const source = await services.ingressSources.find(sourceId);
    if (source?.kind !== kind) throw unauthorized();
    return sourceId;
  }
}

/** A client that asks again at once, whatever it is told, would have us do nothing but refuse it: it waits so long each time. */
const PAUSE_MS = 200;

async function turnAway(refusal: Promise<never>): Promise<never> {
  const pause = wait(PAUSE_MS);
  await refusal.catch(() => {});
  await pause;
  return refusal;
}

async function verifySource(
  id: Id<'src'>,
  push: { kind: 'apps-script' | 'raw'; bytes: Uint8Array; headers: SignatureHeaders },
  { ingressSources }: Services,
): Promise<IngressSource> {
  const isSigned = (source: IngressSource | undefined): source is IngressSource =>
    source?.kind === push.kind &&
    verify({ secrets: source.secrets, headers: push.headers, body: push.bytes, now: new Date() }).ok;

  const remembered = await ingressSources.find(id);
  const source = isSigned(remembered) ? remembered : await findRotated();
  if (source === undefined) throw unauthorized();
  if (!source.isWanted) {
    throw new MailgressError(
      'source_stopped',
      `Source ${source.id} is stopped; keep the mail and look again later`,
    );
  }
  return source;

  /** The secret may just have been rotated, by another process. */
  async function findRotated(): Promise<IngressSource | undefined> {
    const current = remembered && (await ingressSources.refresh(id));
    return isSigned(current) ? current : undefined;
  }
}

function unauthorized(): MailgressError {
  return new MailgressError('unauthorized', 'There is no such source, or the signature does not verify');
}

function tooMuchMail(retryAfterMs: number): MailgressError {
  const message = 'This source pushes more mail than it may; nothing was done, send it again later';
  return new MailgressError('rate_limited', message, { retryable: true, retryAfterMs });
}
