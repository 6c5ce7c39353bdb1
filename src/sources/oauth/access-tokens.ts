import { createPrivateKey, createSign } from 'node:crypto';
import { z } from 'zod';
import { MailgressError } from '../../core/errors.ts';

/** Gives a token that is valid for another minute at least, made anew when it must be. */
export type AccessTokens = {
  /** @throws GrantError */
  get(signal?: AbortSignal): Promise<string>;
  /** For a token that the provider refused: the next `get` makes another. */
  forget(token: string): void;
};

/** What a token is had for. */
export type Grant =
  | { kind: 'refresh-token'; refreshToken: string; client: { id: string; secret: string | undefined } }
  /** RFC 7523: the service account asks in the name of `subject`. */
  | { kind: 'service-account'; email: string; privateKey: string; subject: string; scope: string };

/** Why there is no token: the consent is gone, the settings are wrong, or the provider is away for now. */
export class GrantError extends Error {
  readonly kind: 'consent_gone' | 'not_allowed' | 'unavailable';

  constructor(kind: GrantError['kind'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'GrantError';
    this.kind = kind;
  }
}

const REQUEST_TIMEOUT_MS = 20_000;
const SPARE_MS = 60_000;
const ASSERTION_LIFE_S = 3600;

const tokenSchema = z.object({
  access_token: z.string().min(1),
  expires_in: z.number().positive().default(3600),
  /** A new one in the place of the old (RFC 6749, 6): Microsoft's old ones end after 90 days. */
  refresh_token: z.string().min(1).optional(),
});
const refusalSchema = z.object({ error: z.string(), error_description: z.string().optional() });

export type TokenOptions = {
  /** A monotonic clock. */
  nowMs?: () => number;
  /** For a token URL that a user named: through a guard. */
  post?: (url: string, form: URLSearchParams) => Promise<{ status: number; answer: unknown }>;
  /** Told of a refresh token that came in the place of the one given; the token is handed out once it resolves. */
  onRotated?: (refreshToken: string) => Promise<void>;
};

/** Keeps one token and refreshes it once for all who ask meanwhile (RFC 6749, 6). */
export function createAccessTokens(tokenUrl: string, given: Grant, options: TokenOptions = {}): AccessTokens {
  const { nowMs = () => performance.now(), post = postDirectly, onRotated } = options;
  let grant = given;
  let current: { token: string; endsMs: number } | undefined;
  let asking: Promise<string> | undefined;

  async function ask(): Promise<string> {
    const askedMs = nowMs();
    const answer = await requestToken(tokenUrl, grant, post);
    const { access_token: token, expires_in: lifeS, refresh_token: refreshToken } = answer;
    if (grant.kind === 'refresh-token' && refreshToken !== undefined && refreshToken !== grant.refreshToken) {
      grant = { ...grant, refreshToken };
      await onRotated?.(refreshToken);
    }
    current = { token, endsMs: askedMs + lifeS * 1000 - SPARE_MS };
    return token;
  }

  return {
    async get(signal) {
      if (current !== undefined && nowMs() < current.endsMs) return current.token;
      asking ??= ask().finally(() => {
        asking = undefined;
      });
      return signal === undefined ? asking : untilAborted(asking, signal);
    },
    forget(token) {
      if (current?.token === token) current = undefined;
    },
  };
}

/** Others may still wait for the token: who gives up leaves them the request. */
function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

async function requestToken(
  tokenUrl: string,
  grant: Grant,
  post: NonNullable<TokenOptions['post']>,
): Promise<z.infer<typeof tokenSchema>> {
  const { status, answer } = await post(tokenUrl, formOf(tokenUrl, grant)).catch((cause) => {
    throw cause instanceof MailgressError
      ? new GrantError('not_allowed', cause.message, { cause })
      : new GrantError('unavailable', 'the token endpoint does not answer', { cause });
  });
  const token = tokenSchema.safeParse(answer);
  if (status === 200 && token.success) return token.data;
  const refusal = refusalSchema.safeParse(answer).data;
  if (status >= 500 || status === 429 || refusal === undefined) {
    throw new GrantError('unavailable', `the token endpoint answers ${status}`);
  }
  const { error, error_description: description } = refusal;
  const said = `${error}${description === undefined ? '' : `: ${description}`}`.slice(0, 300);
  throw new GrantError(
    error === 'invalid_grant' && grant.kind === 'refresh-token' ? 'consent_gone' : 'not_allowed',
    said,
  );
}

async function postDirectly(
  url: string,
  body: URLSearchParams,
): Promise<{ status: number; answer: unknown }> {
  const signal = AbortSignal.timeout(REQUEST_TIMEOUT_MS);
  // Not followed: a secret goes where the configuration says, and nowhere else.
  const response = await fetch(url, { method: 'POST', body, signal, redirect: 'manual' });
  return { status: response.status, answer: await response.json().catch(() => undefined) };
}

function formOf(tokenUrl: string, grant: Grant): URLSearchParams {
  if (grant.kind === 'refresh-token') {
    const { refreshToken, client } = grant;
    return new URLSearchParams({
      grant_type: 'refresh_token',
      refresh_token: refreshToken,
      client_id: client.id,
      // A public client has none.
      ...(client.secret !== undefined && { client_secret: client.secret }),
    });
  }
  return new URLSearchParams({
    grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer',
    assertion: assertionOf(tokenUrl, grant, Math.floor(Date.now() / 1000)),
  });
}

/** A JWT of the service account, RS256 (RFC 7515), as Google asks for it. */
function assertionOf(
  tokenUrl: string,
  { email, privateKey, subject, scope }: Extract<Grant, { kind: 'service-account' }>,
  nowS: number,
): string {
  const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString('base64url');
  const claims = { iss: email, sub: subject, scope, aud: tokenUrl, iat: nowS, exp: nowS + ASSERTION_LIFE_S };
  const text = `${encode({ alg: 'RS256', typ: 'JWT' })}.${encode(claims)}`;
  try {
    const signature = createSign('RSA-SHA256').update(text).sign(createPrivateKey(privateKey));
    return `${text}.${signature.toString('base64url')}`;
  } catch (cause) {
    // Its own words may quote the key.
    throw new MailgressError(
      'configuration',
      'GOOGLE_SERVICE_ACCOUNT_JSON: private_key is no PEM of a private key',
      {
        cause: cause instanceof Error ? new Error(cause.name) : undefined,
      },
    );
  }
}
