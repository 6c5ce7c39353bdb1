import { createHmac, createSecretKey, type KeyObject, randomBytes, timingSafeEqual } from 'node:crypto';
import { MailgressError } from './errors.ts';

/**
 * How far a timestamp may lie from the receiver's clock: the spec asks for "some tolerance", its libraries take
 * this.
 */
export const TIMESTAMP_TOLERANCE_MS = 5 * 60_000;

/** Signatures looked at in one header. Rotation needs two or three; a longer list only buys work from us. */
const MAX_SIGNATURES = 16;

const SECRET_PREFIX = 'whsec_';
const MIN_SECRET_BYTES = 24;
const MAX_SECRET_BYTES = 64;

/** Base64 of a SHA-256 digest. */
const SIGNATURE_LENGTH = 44;

/**
 * Printable ASCII without the dot. The signed text is `id.timestamp.body`: with a dot inside an id, `a` + `1` +
 * `2.x` and `a.1` + `2` + `x` would carry the same signature, and a recorded call could be given another time.
 */
const ID = /^[\x21-\x2d\x2f-\x7e]{1,256}$/;

/** Whole seconds without sign or leading zero, so that one time has one spelling. */
const TIMESTAMP = /^(?:0|[1-9][0-9]{0,14})$/;

/** The three headers as they arrived; absent ones are undefined. */
export type SignatureHeaders = {
  id: string | undefined;
  timestamp: string | undefined;
  signature: string | undefined;
};

export type Verification = { ok: true } | { ok: false; reason: HeaderFault };

/** Why a call is refused; `bad_signature` may stand in the headers, or come out with the body. */
export type HeaderFault =
  | 'missing_headers'
  | 'bad_id'
  | 'bad_timestamp'
  | 'stale'
  | 'future'
  | 'bad_signature';

/** A new signing secret: `whsec_` and the base64 of 32 random bytes. */
export function createSecret(): string {
  return SECRET_PREFIX + randomBytes(32).toString('base64');
}

/**
 * The key inside a secret, 24 to 64 bytes. Throws `bad_request` for anything else; the message never repeats
 * the secret. Source: Standard Webhooks 1.0.0, "Signature scheme".
 */
export function parseSecret(secret: string): Uint8Array {
  const text = secret.startsWith(SECRET_PREFIX) ? secret.slice(SECRET_PREFIX.length) : '';
  // Buffer.from skips what is no base64, so a mistyped secret would silently become a shorter key.
  const key = /^[A-Za-z0-9+/]+={0,2}$/.test(text) ? Buffer.from(text, 'base64') : Buffer.alloc(0);
  if (key.length < MIN_SECRET_BYTES || key.length > MAX_SECRET_BYTES)
    throw new MailgressError(
      'bad_request',
      `signing secret: expected "${SECRET_PREFIX}" and the base64 of ${MIN_SECRET_BYTES} to ${MAX_SECRET_BYTES} bytes`,
    );
  return key;
}

/**
 * The `webhook-signature` header for one call: `v1,<base64 HMAC-SHA256 of "id.timestamp.body">`, one for each
 * secret in their order, separated by spaces (that is how a secret is rotated without a missed call).
 *
 * `timestamp` is in whole seconds and is of this attempt, not of the event. A string body is signed as UTF-8.
 * Throws `internal` for an id no receiver may accept and for an empty list; `bad_request` for a bad secret.
 */
export function sign(call: {
  id: string;
  timestamp: number;
  body: string | Uint8Array;
  secrets: readonly string[];
}): string {
  if (!ID.test(call.id))
    throw new MailgressError('internal', `webhook id ${JSON.stringify(call.id)}: expected no dot or space`);
  if (call.secrets.length === 0)
    throw new MailgressError('internal', `webhook ${call.id}: no signing secret`);
  return call.secrets
    .map((secret) => `v1,${digest(secret, call.id, String(call.timestamp), call.body)}`)
    .join(' ');
}

/**
 * Whether a call was signed with one of the secrets and is fresh. `body` is the bytes as they arrived.
 * Signatures of other versions (`v1a`) are passed over; the first 16 of a list are looked at.
 *
 * The cost does not tell which secret, if any, was right: every signature is compared with every secret in
 * constant time.
 */
export function verify(call: {
  secrets: readonly string[];
  headers: SignatureHeaders;
  body: Uint8Array;
  now: Date;
  toleranceMs?: number;
}): Verification {
  const reason = findHeaderFault(call.headers, call.now, call.toleranceMs);
  if (reason !== undefined) return { ok: false, reason };

  const { id = '', timestamp = '', signature = '' } = call.headers;
  const candidates = parseSignatures(signature);
  let matches = 0;
  for (const secret of call.secrets) {
    const expected = Buffer.from(digest(secret, id, timestamp, call.body));
    for (const candidate of candidates) matches += Number(timingSafeEqual(candidate, expected));
  }
  return matches > 0 ? { ok: true } : { ok: false, reason: 'bad_signature' };
}

/** What the headers alone say against a call, so that the body of such a one need not be read; undefined: nothing. */
export function findHeaderFault(
  { id, timestamp, signature }: SignatureHeaders,
  now: Date,
  toleranceMs = TIMESTAMP_TOLERANCE_MS,
): HeaderFault | undefined {
  if (!id || !timestamp || !signature) return 'missing_headers';
  if (!ID.test(id)) return 'bad_id';
  if (!TIMESTAMP.test(timestamp)) return 'bad_timestamp';
  const ageMs = now.getTime() - Number(timestamp) * 1000;
  if (ageMs > toleranceMs) return 'stale';
  if (ageMs < -toleranceMs) return 'future';
  return parseSignatures(signature).length === 0 ? 'bad_signature' : undefined;
}

/** The `v1` signatures of a header that have the right length; what has not cannot match. */
function parseSignatures(header: string): Buffer[] {
  return header
    .split(' ', MAX_SIGNATURES)
    .filter((entry) => entry.startsWith('v1,'))
    .map((entry) => Buffer.from(entry.slice(3)))
    .filter((candidate) => candidate.length === SIGNATURE_LENGTH);
}

/** Fed in two steps, so that a large body is neither copied nor turned into a string. */
function digest(secret: string, id: string, timestamp: string, body: string | Uint8Array): string {
  return createHmac('sha256', keyOf(secret)).update(`${id}.${timestamp}.`).update(body).digest('base64');
}

/** Secrets in use, most of the time a few: each is its key as long as it is among the last so many. */
const MAX_KEYS = 1000;
const keys = new Map<string, KeyObject>();

/** As a KeyObject, although bytes would do, and a kept one: of 26 us for a short body 21 went into its making. */
function keyOf(secret: string): KeyObject {
  const known = keys.get(secret);
  if (known !== undefined) return known;
  const key = createSecretKey(parseSecret(secret));
  keys.set(secret, key);
  const [oldest] = keys.keys();
  if (keys.size > MAX_KEYS && oldest !== undefined) keys.delete(oldest);
  return key;
}
