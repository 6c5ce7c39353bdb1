import { JWKSNoMatchingKey } from 'jose/errors';
import { createLocalJWKSet } from 'jose/jwks/local';
import type { JWTVerifyGetKey } from 'jose/jwt/verify';
import { describeError, MailgressError } from '../../core/errors.ts';

/*
 * The keys that Google signs push tokens with. They change every few days, and are published well before they are used.
 *
 * A document is fresh for as long as its Cache-Control says. Beyond that it is fetched again before a token is judged,
 * once for all that wait. If that fails the keys at hand go on, and a push now and then tries again without waiting. A
 * key that the document does not name may be new: that is looked up too, but seldom, since anyone can name one.
 */

export type SigningKeysOptions = {
  /** Answers a JWKS (RFC 7517). */
  url: string;
  /** The keys could not be fetched; told at each try. */
  onFailure: (reason: string) => void;
  /** Milliseconds of a clock that never goes back. */
  clock?: (() => number) | undefined;
};

/** Google's max-age is 5 to 7 hours. Of a header that says less, or nothing, we take these instead. */
const MIN_FRESH_MS = 60_000;
const MAX_FRESH_MS = 24 * 3_600_000;
const DEFAULT_FRESH_MS = 3_600_000;

const RETRY_AFTER_MS = 3000;
const UNKNOWN_KEY_AFTER_MS = 30_000;

/** Pub/Sub gives a push 10 s by default. */
const FETCH_TIMEOUT_MS = 5000;
/** Google's document has 2 kB. */
const MAX_DOCUMENT_BYTES = 256 * 1024;

type Keys = { ids: ReadonlySet<unknown>; find: JWTVerifyGetKey; freshUntilMs: number };

/**
 * Finds the key that a token names, for jose's `jwtVerify`. Fetches nothing before it is first asked.
 *
 * @returns a function that rejects with MailgressError `keys_unavailable` while the keys that it takes cannot be
 * fetched, and with an error of jose's for a key that does not exist.
 */
export function createSigningKeys(options: SigningKeysOptions): JWTVerifyGetKey {
  const { url, onFailure, clock = () => performance.now() } = options;
  let keys: Keys | undefined;
  let fetching: Promise<boolean> | undefined;
  let triedAtMs = Number.NEGATIVE_INFINITY;
  let hasFailed = false;

  /** One fetch for all who ask meanwhile. Never rejects: answers whether there are new keys. */
  function refresh(): Promise<boolean> {
    fetching ??= fetchKeys(url, clock)
      .then(
        (fetched) => {
          keys = fetched;
          hasFailed = false;
          return true;
        },
        (error) => {
          hasFailed = true;
          // fetch's own error says no more than that it failed.
          onFailure(describeError(error instanceof TypeError ? (error.cause ?? error) : error));
          return false;
        },
      )
      .finally(() => {
        triedAtMs = clock();
        fetching = undefined;
      });
    return fetching;
  }

  const sinceTryMs = () => clock() - triedAtMs;
  const mayRetry = () => fetching !== undefined || sinceTryMs() >= RETRY_AFTER_MS;

  async function currentKeys(): Promise<Keys> {
    if (keys === undefined) {
      if (mayRetry()) await refresh();
    } else if (clock() >= keys.freshUntilMs) {
      // Who finds them away pays for it once; then they are tried behind the back of those who come.
      if (!hasFailed) await refresh();
      else if (mayRetry()) void refresh();
    }
    if (keys === undefined) throw keysUnavailable();
    return keys;
  }

  return async (header, token) => {
    let current = await currentKeys();
    if (typeof header.kid === 'string' && !current.ids.has(header.kid)) {
      if (fetching !== undefined || sinceTryMs() >= (hasFailed ? RETRY_AFTER_MS : UNKNOWN_KEY_AFTER_MS)) {
        await refresh();
      }
      if (hasFailed) throw keysUnavailable();
      current = keys ?? current;
    }
    // jose takes the one key there is for a token that names none.
    if (!current.ids.has(header.kid)) throw new JWKSNoMatchingKey();
    return current.find(header, token);
  };
}

async function fetchKeys(url: string, clock: () => number): Promise<Keys> {
  const askedAtMs = clock();
  const response = await fetch(url, {
    headers: { accept: 'application/json' },
    signal: AbortSignal.timeout(FETCH_TIMEOUT_MS),
  });
  if (!response.ok) {
    await response.body?.cancel();
    throw new Error(`answered ${response.status}`);
  }
  const document = JSON.parse(await readText(response));
  // It checks what it is given, but a document without a key would do, and displace one with keys.
  const find = createLocalJWKSet(document);
  const ids = new Set<unknown>(find.jwks().keys.map(({ kid }) => kid));
  ids.delete(undefined);
  if (ids.size === 0) throw new Error('the document names no key');
  return { ids, find, freshUntilMs: askedAtMs + freshMsOf(response.headers) };
}

async function readText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of response.body ?? []) {
    sizeBytes += chunk.length;
    if (sizeBytes > MAX_DOCUMENT_BYTES)
      throw new Error(`the document has more than ${MAX_DOCUMENT_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, sizeBytes).toString();
}

/** RFC 9111, 4.2: max-age, less the time that caches on the way have had it. */
function freshMsOf(headers: Headers): number {
  const [, maxAgeS] = /(?:^|[\s,])max-age="?(\d{1,10})/i.exec(headers.get('cache-control') ?? '') ?? [];
  if (maxAgeS === undefined) return DEFAULT_FRESH_MS;
  const [ageS] = /^\d{1,10}$/.exec(headers.get('age')?.trim() ?? '') ?? ['0'];
  return Math.min(MAX_FRESH_MS, Math.max(MIN_FRESH_MS, (Number(maxAgeS) - Number(ageS)) * 1000));
}

function keysUnavailable(): MailgressError {
  return new MailgressError(
    'keys_unavailable',
    'The keys that push tokens are signed with are out of reach',
    {
      retryable: true,
    },
  );
}
