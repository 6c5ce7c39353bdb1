import { JOSEError } from 'jose/errors';
import { type JWTVerifyGetKey, jwtVerify } from 'jose/jwt/verify';
import { describeError, MailgressError } from '../../core/errors.ts';
import { createSigningKeys } from './signing-keys.ts';

/** What a push token must carry, and where the keys are that it is signed with. */
export type PushTokenOptions = {
  /** `aud`, by default the URL that is pushed to. */
  audience: string;
  /** `email`: the account that the subscription pushes as. */
  serviceAccount: string;
  /** `iss`, a URL; Google also writes its own without the scheme. */
  issuer: string;
  certsUrl: string;
};

/**
 * Judges the Authorization header of a push.
 *
 * @throws MailgressError `unauthorized`, in the same words for every fault of the token, with the fault as its cause;
 * `keys_unavailable` while it cannot be judged.
 */
export type VerifyPushToken = (authorization: string | undefined) => Promise<void>;

/** How far Google's clock and ours may be apart. */
const LEEWAY_S = 30;

/** Google's have about 900 characters. */
const MAX_TOKEN_LENGTH = 8192;

/** One token of RFC 6750, 2.1. Two headers arrive joined by a comma, which it does not have. */
const BEARER = /^Bearer +([A-Za-z0-9_.-]+)$/i;

/**
 * Verifies the OIDC token that Pub/Sub signs its pushes with
 * (https://cloud.google.com/pubsub/docs/authenticate-push-subscriptions). Google gives a valid token to anyone, for any
 * audience of theirs: what makes one ours is `aud` and `email` together.
 *
 * @param onKeysFailure told why the signing keys could not be fetched.
 * @param clock for tests: what the keys age by, in milliseconds.
 */
export function createPushTokenVerifier(
  options: PushTokenOptions,
  onKeysFailure: (reason: string) => void,
  clock?: () => number,
): VerifyPushToken {
  const findKey = createSigningKeys({ url: options.certsUrl, onFailure: onKeysFailure, clock });
  return async (authorization) => {
    try {
      await verifyPushToken(authorization, options, findKey);
    } catch (error) {
      if (!(error instanceof JOSEError || error instanceof TokenFault)) throw error;
      // Not jose's own error, which holds the claims.
      const cause = new Error(describeError(error));
      throw new MailgressError('unauthorized', 'The push token is missing, or it does not verify', { cause });
    }
  };
}

class TokenFault extends Error {}

async function verifyPushToken(
  authorization: string | undefined,
  { audience, serviceAccount, issuer }: PushTokenOptions,
  findKey: JWTVerifyGetKey,
): Promise<void> {
  const [, token] = BEARER.exec(authorization ?? '') ?? [];
  if (token === undefined) throw new TokenFault('no bearer token');
  if (token.length > MAX_TOKEN_LENGTH) throw new TokenFault('a token too long');
  const { payload } = await jwtVerify(token, findKey, {
    // Fixed: else a token could say that it is signed with HMAC, whose secret would be the public key.
    algorithms: ['RS256'],
    issuer: [issuer, issuer.replace(/^https?:\/\//, '')],
    requiredClaims: ['exp'],
    clockTolerance: LEEWAY_S,
  });
  // jose takes a list of audiences that has ours among them, and an `iat` of any time.
  if (payload.aud !== audience) throw new TokenFault('unexpected "aud" claim value');
  if ((payload.iat ?? 0) > Date.now() / 1000 + LEEWAY_S) throw new TokenFault('"iat" claim in the future');
  if (payload.email !== serviceAccount) throw new TokenFault('unexpected "email" claim value');
  if (payload.email_verified !== true) throw new TokenFault('"email_verified" claim is not true');
}
