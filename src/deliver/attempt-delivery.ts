import { type AttemptOutcome, judgeAttempt } from '../core/attempt-outcome.ts';
import { describeError } from '../core/errors.ts';
import { createId } from '../core/ids.ts';
import { parseRetryAfter, retryDelayMs } from '../core/retry.ts';
import type { Keyring } from '../core/sealed.ts';
import { sign } from '../core/signature.ts';
import type { AttemptRecord } from '../store/attempts.ts';
import type { ClaimedDelivery } from '../store/claims.ts';
import { openHeaders, openSecrets } from '../store/secrets.ts';
import type { AttemptResult } from './attempt.ts';
import type { Poster } from './post.ts';

/**
 * Makes one attempt at a claimed delivery and says what to record of it. Never rejects: what goes wrong on our own
 * side (a secret that no key opens) is a failed attempt with the error `internal`, tried again like any other.
 *
 * @param random draws from [0, 1), for the jitter of the next try.
 */
export async function attemptDelivery(
  delivery: ClaimedDelivery,
  tools: { poster: Poster; keyring: Keyring; random: () => number },
): Promise<{ record: AttemptRecord; outcome: AttemptOutcome }> {
  const startedAt = new Date();
  const result = await post(delivery, startedAt, tools).catch(
    (error: unknown): AttemptShape => ({
      statusCode: null,
      error: { code: 'internal', message: describeError(error) },
      durationMs: 0,
      responseExcerpt: null,
      retryAfter: undefined,
    }),
  );
  const outcome = judgeAttempt(result);
  return {
    outcome,
    record: {
      attemptId: createId('att'),
      deliveryId: delivery.id,
      endpointId: delivery.endpoint.id,
      health: healthOf(result, outcome),
      owner: delivery.owner,
      fence: delivery.fence,
      startedAt,
      durationMs: result.durationMs,
      statusCode: result.statusCode,
      errorCode: result.error?.code ?? null,
      error: result.error?.message ?? (outcome.kind === 'succeeded' ? null : `answered ${result.statusCode}`),
      responseExcerpt: result.responseExcerpt,
      ...nextStep(delivery, result, outcome, tools.random()),
    },
  };
}

/** An `AttemptResult`, or one that never got as far as the network. */
type AttemptShape = Omit<AttemptResult, 'error' | 'statusCode'> & {
  statusCode: number | null;
  error: { code: string; message: string } | null;
};

async function post(
  delivery: ClaimedDelivery,
  startedAt: Date,
  { poster, keyring }: { poster: Poster; keyring: Keyring },
): Promise<AttemptShape> {
  if (delivery.data === null) {
    return {
      statusCode: null,
      error: { code: 'deleted', message: 'the message was deleted before it could be sent' },
      durationMs: 0,
      responseExcerpt: null,
      retryAfter: undefined,
    };
  }
  const head = { type: delivery.eventType, timestamp: delivery.eventCreatedAt.toISOString() };
  // `data` is stored as JSON text: put in as it is, it costs no parsing.
  const body = `${JSON.stringify(head).slice(0, -1)},"data":${delivery.data}}`;
  const timestamp = Math.floor(startedAt.getTime() / 1000);
  return poster.post({
    url: delivery.endpoint.url,
    headers: {
      ...openHeaders(keyring, delivery.endpoint.id, delivery.endpoint.headers),
      'content-type': 'application/json',
      'webhook-id': delivery.eventId,
      'webhook-timestamp': String(timestamp),
      'webhook-signature': sign({
        id: delivery.eventId,
        timestamp,
        body,
        secrets: openSecrets(keyring, delivery.endpoint.id, delivery.endpoint, startedAt),
      }),
    },
    body,
  });
}

/** What fails on our side says nothing of the endpoint. */
function healthOf(result: AttemptShape, outcome: AttemptOutcome): AttemptRecord['health'] {
  if (outcome.kind === 'succeeded') return 'well';
  return result.error?.code === 'internal' || result.error?.code === 'deleted' ? null : 'failing';
}

function nextStep(
  delivery: ClaimedDelivery,
  result: AttemptShape,
  outcome: AttemptOutcome,
  random: number,
): Pick<AttemptRecord, 'status' | 'delayMs'> {
  if (outcome.kind === 'succeeded') return { status: 'succeeded', delayMs: 0 };
  if (result.error?.code === 'deleted') return { status: 'failed', delayMs: 0 };
  // A consumer that is gone keeps what is pending, this one too, for the day it is enabled again.
  const delayMs = retryDelayMs({
    attempts: delivery.attempts + 1,
    random,
    retryAfterMs: parseRetryAfter(result.retryAfter, new Date()),
    slowDown: outcome.kind === 'failed' && outcome.slowDown,
  });
  return delayMs === undefined ? { status: 'failed', delayMs: 0 } : { status: 'pending', delayMs };
}
