import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, request } from 'undici';
import type { PushTokens } from '../push-tokens.ts';
import { createRandom } from '../random.ts';

/** Pub/Sub: sends each notification until it is acked. */
export type PushDriver = AsyncDisposable & {
  /** As Gmail does on a change. */
  publish(account: string, historyId: string): void;
  readonly counts: Readonly<PushCounts>;
  /** How often each status was answered. */
  readonly statuses: ReadonlyMap<number, number>;
  /** From a send to its ack, in ms, one of each acked send. */
  readonly ackedMs: readonly number[];
  /** Told of each ack. */
  onAck(hook: (push: Push) => void): void;
  /** Sends to another address from now on. */
  moveTo(url: string): void;
  /** Resolves once all that was published is acked. */
  drained(timeoutMs?: number): Promise<void>;
  /** Ends without that. */
  close(): Promise<void>;
};

export type Push = { account: string; historyId: string; messageId: string; attempt: number };

export type PushCounts = {
  published: number;
  /** Never sent: one a second was enough. */
  dropped: number;
  /** Published twice. */
  doubled: number;
  sent: number;
  acked: number;
  /** Answered with what is no ack. */
  nacked: number;
  /** Nobody there, or gone before an answer. */
  unanswered: number;
};

export type PushSettings = {
  url: string;
  tokens: Pick<PushTokens, 'token'>;
  /** The envelope (default), or the payload alone. */
  form?: 'wrapped' | 'unwrapped';
  /** Of the unwrapped: with the metadata in headers. */
  writeMetadata?: boolean;
  subscription?: string;
  /** With a dead letter topic the attempt is counted in the envelope. */
  deadLetters?: boolean;
  /** Both have been seen. */
  historyIdAs?: 'number' | 'string' | 'either';
  /** The share that is sent twice, 0 to 1. */
  doubledShare?: number;
  /** Each send waits for a random part of this: whatever is published meanwhile may overtake it. */
  reorderWithinMs?: number;
  /** What is published for an account within a second of the one before is dropped. */
  oncePerSecond?: boolean;
  backoffMs?: { first: number; most: number };
  /** Later is no ack (the subscription's ackDeadlineSeconds). */
  answerWithinMs?: number;
  connections?: number;
  seed?: number;
};

/** What acks a push, as Pub/Sub documents it. */
const ACKS = new Set([102, 200, 201, 202, 204]);

export function createPushDriver(settings: PushSettings): PushDriver {
  const {
    tokens,
    form = 'wrapped',
    writeMetadata = true,
    subscription = 'projects/test-project/subscriptions/gmail',
    deadLetters = false,
    historyIdAs = 'either',
    doubledShare = 0,
    reorderWithinMs = 0,
    oncePerSecond = false,
    backoffMs = { first: 20, most: 500 },
    answerWithinMs = 10_000,
    connections = 16,
    seed = 1,
  } = settings;
  let { url } = settings;
  const random = createRandom(seed);
  const agent = new Agent({ connections });
  const counts = { published: 0, dropped: 0, doubled: 0, sent: 0, acked: 0, nacked: 0, unanswered: 0 };
  const statuses = new Map<number, number>();
  const ackedMs: number[] = [];
  const lastAtMs = new Map<string, number>();
  let tellAck = (_: Push) => {};
  let outstanding = 0;
  let isClosed = false;
  let tellDrained = () => {};

  let token: { text: Promise<string>; untilMs: number } | undefined;
  function currentToken(): Promise<string> {
    if (token === undefined || token.untilMs < Date.now())
      token = { text: tokens.token(), untilMs: Date.now() + 30 * 60_000 };
    return token.text;
  }

  type Message = { account: string; historyId: string; data: string; messageId: string; publishTime: string };

  function publish(account: string, historyId: string): void {
    counts.published++;
    const nowMs = Date.now();
    if (oncePerSecond && nowMs - (lastAtMs.get(account) ?? 0) < 1000) {
      counts.dropped++;
      return;
    }
    lastAtMs.set(account, nowMs);
    const isNumber = historyIdAs === 'number' || (historyIdAs === 'either' && random.below(2) === 0);
    const message: Message = {
      account,
      historyId,
      // By hand: a number of JavaScript would lose its last digits.
      data: `{"emailAddress":${JSON.stringify(account)},"historyId":${isNumber ? historyId : JSON.stringify(historyId)}}`,
      messageId: String(2070443601311540n + BigInt(counts.published)),
      publishTime: new Date(nowMs).toISOString(),
    };
    const isDoubled = random.below(10_000) < doubledShare * 10_000;
    if (isDoubled) counts.doubled++;
    for (let copies = isDoubled ? 2 : 1; copies > 0; copies--) {
      outstanding++;
      void push(message);
    }
  }

  async function push(message: Message): Promise<void> {
    if (reorderWithinMs > 0) await sleep(random.below(reorderWithinMs));
    for (let attempt = 1; !isClosed; attempt++) {
      if (await isAcked(message, attempt)) break;
      const waitMs = Math.min(backoffMs.most, backoffMs.first * 2 ** (attempt - 1));
      await sleep(waitMs / 2 + random.below(Math.ceil(waitMs / 2) + 1));
    }
    outstanding--;
    if (outstanding === 0) tellDrained();
  }

  async function isAcked(message: Message, attempt: number): Promise<boolean> {
    const { headers, body } = requestOf(message, attempt);
    const authorization = `Bearer ${await currentToken()}`;
    counts.sent++;
    const startedMs = performance.now();
    try {
      const response = await request(url, {
        method: 'POST',
        headers: { authorization, ...headers },
        body,
        dispatcher: agent,
        headersTimeout: answerWithinMs,
        bodyTimeout: answerWithinMs,
      });
      await response.body.dump();
      const status = response.statusCode;
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
      if (ACKS.has(status)) {
        counts.acked++;
        ackedMs.push(performance.now() - startedMs);
        tellAck({ ...message, attempt });
        return true;
      }
      counts.nacked++;
    } catch {
      counts.unanswered++;
    }
    return false;
  }

  function requestOf({ data, messageId, publishTime }: Message, attempt: number) {
    const common = {
      'user-agent': 'CloudPubSub-Google',
      from: 'noreply@google.com',
      accept: 'application/json',
    };
    if (form === 'unwrapped') {
      const metadata = {
        'x-goog-pubsub-subscription-name': subscription,
        'x-goog-pubsub-message-id': messageId,
        'x-goog-pubsub-publish-time': publishTime,
      };
      return { headers: { ...common, ...(writeMetadata && metadata) }, body: data };
    }
    const message = {
      attributes: {},
      data: Buffer.from(data).toString('base64'),
      messageId,
      message_id: messageId,
      publishTime,
      publish_time: publishTime,
    };
    return {
      headers: { ...common, 'content-type': 'application/json' },
      body: JSON.stringify({ message, subscription, ...(deadLetters && { deliveryAttempt: attempt }) }),
    };
  }

  async function close(): Promise<void> {
    isClosed = true;
    await agent.destroy();
  }

  return {
    publish,
    counts,
    statuses,
    ackedMs,
    onAck(hook) {
      tellAck = hook;
    },
    moveTo(other) {
      url = other;
    },
    drained: (timeoutMs = 60_000) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(
          () => reject(new Error(`${outstanding} pushes are not acked after ${timeoutMs} ms`)),
          timeoutMs,
        );
        tellDrained = () => {
          clearTimeout(timer);
          resolve();
        };
        if (outstanding === 0) tellDrained();
      }),
    close,
    [Symbol.asyncDispose]: close,
  };
}
