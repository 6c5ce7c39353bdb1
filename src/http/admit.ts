import { setTimeout as wait } from 'node:timers/promises';
import type { Context } from 'hono';
import { MailgressError } from '../core/errors.ts';
import { type Id, isId } from '../core/ids.ts';
import { createSecret, verify } from '../core/signature.ts';
import type { IngressSource } from '../store/sources.ts';
import { refuse } from './body.ts';
import { overloaded } from './overloaded.ts';
import type { Services } from './services.ts';

export type Push = { source: IngressSource; bytes: Uint8Array };

/**
 * Lets a push in, and has it worked on: first whether its source may push now, and whether there is room, while its body is
 * still unread; then its bytes and signature; then a place among those that are at work.
 *
 * @param work what is done with it. The place and the room of its body are given back when this has ended.
 * @throws MailgressError `rate_limited` or `overloaded`: nothing was done. `body_too_slow`, `body_too_large`,
 * `bad_request` for a body that ended early. `unauthorized` for an unknown source, a source of another kind and a bad
 * signature, alike and at the same cost. `source_stopped`.
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
  if (gate.isFull(name) || bodies.isFull()) await turnAway(refuse(c.req.raw, overloaded()));

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
      const source = await verifySource(c, kind, bytes, services);
      isVerified = true;
      return await work({ source, bytes });
    } finally {
      place.leave(isVerified);
    }
  } finally {
    release();
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
  c: Context,
  kind: 'apps-script' | 'raw',
  bytes: Uint8Array,
  services: Services,
): Promise<IngressSource> {
  const headers = {
    id: c.req.header('webhook-id'),
    timestamp: c.req.header('webhook-timestamp'),
    signature: c.req.header('webhook-signature'),
  };
  const isSigned = (source: IngressSource | undefined): source is IngressSource => {
    const secrets = source?.kind === kind ? source.secrets : [nobodysSecret];
    return verify({ secrets, headers, body: bytes, now: new Date() }).ok && source?.kind === kind;
  };

  const sourceId = c.req.param('sourceId') ?? '';
  const id: Id<'src'> | undefined = isId('src', sourceId) ? sourceId : undefined;
  const remembered = id && (await services.ingressSources.find(id));
  const source = isSigned(remembered) ? remembered : await findRotated();
  if (source === undefined) {
    throw new MailgressError('unauthorized', 'There is no such source, or the signature does not verify');
  }
  if (!source.isWanted) {
    throw new MailgressError(
      'source_stopped',
      `Source ${source.id} is stopped; keep the mail and look again later`,
    );
  }
  return source;

  /** The secret may just have been rotated, by another process. An unsigned request is not worth the read. */
  async function findRotated(): Promise<IngressSource | undefined> {
    if (id === undefined || remembered === undefined || headers.signature === undefined) return undefined;
    const current = await services.ingressSources.refresh(id);
    return isSigned(current) ? current : undefined;
  }
}

/** Stands in for the secret of a source that does not exist, so that the answer takes as long. */
const nobodysSecret = createSecret();

function tooMuchMail(retryAfterMs: number): MailgressError {
  const message = 'This source pushes more mail than it may; nothing was done, send it again later';
  return new MailgressError('rate_limited', message, { retryable: true, retryAfterMs });
}
