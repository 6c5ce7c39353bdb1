import type { Context } from 'hono';
import { MailgressError } from '../core/errors.ts';
import { type Id, isId } from '../core/ids.ts';
import { createSecret, verify } from '../core/signature.ts';
import type { IngressSource } from '../store/sources.ts';
import { readBody } from './body.ts';
import type { Services } from './services.ts';

/**
 * Reads and verifies a push.
 *
 * @throws MailgressError `unauthorized` for an unknown source, a source of another kind and a bad signature, alike
 * and at the same cost; `source_stopped`; `body_too_large`; `bad_request` for a body that ended early.
 */
export async function admit(
  c: Context,
  kind: 'apps-script' | 'raw',
  services: Services,
): Promise<{ source: IngressSource; bytes: Uint8Array }> {
  const bytes = await readBody(c.req.raw, services.bodyLimitBytes);
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
  return { source, bytes };

  /** The secret may just have been rotated, by another process. An unsigned request is not worth the read. */
  async function findRotated(): Promise<IngressSource | undefined> {
    if (id === undefined || remembered === undefined || headers.signature === undefined) return undefined;
    const current = await services.ingressSources.refresh(id);
    return isSigned(current) ? current : undefined;
  }
}

/** Stands in for the secret of a source that does not exist, so that the answer takes as long. */
const nobodysSecret = createSecret();
