import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

import { startGmailWorld } from '../test/support/gmail/world.ts';
import { startPushTokens } from '../test/support/push-tokens.ts';
import type { ConsumerOrder, ConsumerReport } from './consumer.ts';
import { callMailgress, endProcess, startMailgress } from './variants.ts';

export type PushToWebhookFigures = {
  mails: number;
  /** From the push until the verified webhook, and what of it were not Gmail's own answers. */
  p50Ms: number;
  ownP50Ms: number;
  ownP99Ms: number;
};

/** In turns, so that none runs into Gmail's limit of calls a minute. */
const ACCOUNTS = Array.from({ length: 50 }, (_, n) => `grace${n}@gmail.test`);

/**
 * One mail after the other: its push, its history, itself, its webhook. Gmail is emulate's, and the time it takes for
 * its two answers is taken off: what is left is ours.
 */
export async function measurePushToWebhook(options: {
  databaseUrl: string;
  consumer: ChildProcess;
  consumerUrl: string;
  mails: number;
}): Promise<PushToWebhookFigures> {
  const { databaseUrl, consumer, consumerUrl, mails } = options;
  await using world = await startGmailWorld({ accounts: ACCOUNTS });
  await using tokens = await startPushTokens();
  const variant = await startMailgress('Mailgress, with Gmail', databaseUrl, [], consumerUrl, {
    ...world.env,
    ...tokens.env,
    GMAIL_TOPIC: 'projects/bench/topics/gmail',
  });
  try {
    consumer.send({ secret: variant.endpointSecret } satisfies ConsumerOrder);
    const base = `http://127.0.0.1:${variant.target.port}`;
    for (const address of ACCOUNTS) {
      const mailbox = await callMailgress(base, '/v1/mailboxes', { address });
      await callMailgress(base, `/v1/mailboxes/${mailbox.id}/sources`, {
        kind: 'gmail',
        auth: { type: 'oauth', refreshToken: world.refreshToken(address) },
      });
    }
    const authorization = `Bearer ${await tokens.token()}`;

    const one = async (emailAddress: string) => {
      const { historyId } = await world.deliver(emailAddress);
      const data = Buffer.from(JSON.stringify({ emailAddress, historyId })).toString('base64');
      const body = JSON.stringify({
        message: { data, messageId: historyId },
        subscription: 'projects/p/subscriptions/s',
      });
      const first = world.ledger.entries.length;
      const pushedNs = process.hrtime.bigint();
      const answer = await fetch(`${base}/v1/ingest/pubsub`, {
        method: 'POST',
        headers: { authorization },
        body,
      });
      if (answer.status !== 204) throw new Error(`push: ${answer.status} ${await answer.text()}`);
      const totalMs = Number((await arrival(consumer)) - pushedNs) / 1e6;
      const calls = world.ledger.entries.slice(first);
      const gmailMs = (['history.list', 'messages.get'] as const)
        .map((name) => calls.find((call) => call.name === name)?.tookMs ?? 0)
        .reduce((sum, tookMs) => sum + tookMs, 0);
      return { totalMs, ownMs: totalMs - gmailMs };
    };
    for (const address of ACCOUNTS) await one(address);
    const measured: Awaited<ReturnType<typeof one>>[] = [];
    while (measured.length < mails) {
      for (const address of ACCOUNTS) measured.push(await one(address));
    }

    const own = measured.map(({ ownMs }) => ownMs).sort((a, b) => a - b);
    const total = measured.map(({ totalMs }) => totalMs).sort((a, b) => a - b);
    return {
      mails,
      p50Ms: quantile(total, 0.5),
      ownP50Ms: quantile(own, 0.5),
      ownP99Ms: quantile(own, 0.99),
    };
  } finally {
    await endProcess(variant.child);
  }
}

/** When the webhook that is awaited came, by the consumer's clock, which is the machine's. */
async function arrival(consumer: ChildProcess): Promise<bigint> {
  for (const endsMs = performance.now() + 30_000; performance.now() < endsMs; await sleep(5)) {
    consumer.send({ take: true } satisfies ConsumerOrder);
    const [{ arrivals }] = (await once(consumer, 'message')) as [ConsumerReport];
    const [first] = arrivals;
    if (first !== undefined) return BigInt(first[1]);
  }
  throw new Error('no webhook came in 30 s');
}

const quantile = (sorted: readonly number[], q: number) => sorted[Math.floor((sorted.length - 1) * q)] ?? 0;
