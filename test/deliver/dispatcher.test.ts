import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import postgres, { type Sql } from 'postgres';
import { Webhook } from 'standardwebhooks';
import { Webhook as SvixWebhook } from 'svix';
import { MAX_ATTEMPTS } from '../../src/core/retry.ts';
import { type Received, startConsumer } from '../support/consumer.ts';
import { addConsumer, deliveryAfter, makeDue } from '../support/deliveries.ts';
import {
  addSource,
  batch,
  gmailItem,
  mailOf,
  type PushSource,
  startTestService,
  type TestService,
} from '../support/service.ts';

let service: TestService;
let source: PushSource;
let sql: Sql;
before(async () => {
  // Nothing here waits for the scan; and in the middle of the jitter the waits are those of the schedule.
  service = await startTestService({ scanIntervalMs: 3_600_000, random: () => 0.5 });
  source = await addSource(service);
  sql = postgres(service.databaseUrl, { max: 2, onnotice: () => {} });
});
after(async () => {
  await sql.end();
  await service.dispose();
});

let mails = 0;
async function pushMail(): Promise<void> {
  const item = gmailItem(`18c${(++mails).toString(16)}`, mailOf(`Mail ${mails}`));
  assert.equal((await service.push(source, batch([item]))).status, 200);
}

const headersOf = ({ headers }: Received) => headers as Record<string, string>;

describe('a webhook', () => {
  for (const [name, Verifier] of [
    ['standardwebhooks', Webhook],
    ['svix', SvixWebhook],
  ] as const)
    test(`verifies with the official ${name} library, and changed in one byte it does not`, async () => {
      await using consumer = await addConsumer(service);
      await pushMail();
      const [webhook] = await consumer.waitFor(1);
      assert.ok(webhook);
      const verifier = new Verifier(consumer.secret);
      const event = verifier.verify(webhook.body, headersOf(webhook)) as { type: string };
      assert.equal(event.type, 'message.received');
      assert.throws(() => verifier.verify(webhook.body.replace('Mail', 'Nail'), headersOf(webhook)), {
        name: 'WebhookVerificationError',
      });
    });

  test('is signed with the old and the new secret after a rotation, and a day later with the new alone', async () => {
    await using consumer = await addConsumer(service);
    const { body: rotated } = await service.api('POST', `/v1/endpoints/${consumer.id}/rotate-secret`);
    await pushMail();
    const [both] = await consumer.waitFor(1);
    assert.ok(both);
    for (const secret of [consumer.secret, rotated.secret])
      new Webhook(secret).verify(both.body, headersOf(both));

    await sql`UPDATE endpoints SET previous_secret_until = now() WHERE id = ${consumer.id.slice(3)}`;
    await pushMail();
    const [, alone] = await consumer.waitFor(2);
    assert.ok(alone);
    new Webhook(rotated.secret).verify(alone.body, headersOf(alone));
    assert.throws(() => new Webhook(consumer.secret).verify(alone.body, headersOf(alone)));
  });
});

describe('a failed attempt', () => {
  test('is made again by the schedule under the same webhook-id, until it succeeds', async () => {
    await using consumer = await addConsumer(service, (response) =>
      response.writeHead(consumer.received.length < 3 ? 500 : 204).end(),
    );
    await pushMail();
    for (const [attempts, waitMs] of [
      [1, 5000],
      [2, 300_000],
    ] as const) {
      const failed = await deliveryAfter(service, consumer.id, attempts);
      assert.equal(failed.status, 'pending');
      const { startedAt, durationMs } = failed.attempts.at(-1);
      const afterMs = Date.parse(failed.nextAttemptAt) - waitMs - Date.parse(startedAt);
      assert.ok(afterMs >= durationMs && Date.parse(startedAt) + afterMs <= Date.now(), `${afterMs} ms`);
      await makeDue(sql, failed.id);
    }
    const delivery = await deliveryAfter(service, consumer.id, 3);
    assert.deepEqual([delivery.status, delivery.nextAttemptAt], ['succeeded', null]);
    const ids = consumer.received.map(({ headers }) => headers['webhook-id']);
    assert.deepEqual(ids, Array(3).fill(delivery.eventId));
    assert.equal(new Set(consumer.received.map(({ body }) => body)).size, 1);
    for (const webhook of consumer.received)
      new Webhook(consumer.secret).verify(webhook.body, headersOf(webhook));
  });

  for (const [name, status, headers, leastMs] of [
    ['429 waits a minute at least', 429, {}, 60_000],
    ['Retry-After waits as long as it asks', 503, { 'retry-after': '3600' }, 3_600_000],
    ['Retry-After waits no longer than a day', 503, { 'retry-after': '999999' }, 86_400_000],
  ] as const)
    test(`that is answered with ${name}`, async () => {
      await using consumer = await addConsumer(service, (response) =>
        response.writeHead(status, headers).end(),
      );
      await pushMail();
      const delivery = await deliveryAfter(service, consumer.id, 1);
      const waitMs = Date.parse(delivery.nextAttemptAt) - Date.parse(delivery.attempts[0].startedAt);
      assert.ok(waitMs >= leastMs && waitMs < leastMs + 60_000, `${waitMs} ms`);
    });

  test('is one that is redirected: where it leads is not called', async () => {
    await using consumer = await addConsumer(service, (response) =>
      response.writeHead(302, { location: '/elsewhere' }).end(),
    );
    await pushMail();
    const delivery = await deliveryAfter(service, consumer.id, 1);
    assert.deepEqual([delivery.status, delivery.lastStatusCode], ['pending', 302]);
    assert.deepEqual(
      consumer.received.map(({ path }) => path),
      ['/hook'],
    );
  });

  test('is kept with status, time and the first 1 KiB of the answer, or with the error', async () => {
    await using consumer = await addConsumer(service, (response) => {
      if (consumer.received.length === 1) response.writeHead(500).end(`no\0pe ${'x'.repeat(3000)}`);
      else response.destroy();
    });
    await pushMail();
    await makeDue(sql, (await deliveryAfter(service, consumer.id, 1)).id);
    const { attempts, lastError } = await deliveryAfter(service, consumer.id, 2);
    const [answered, broken] = attempts;
    assert.equal(answered.statusCode, 500);
    assert.equal(answered.error, 'answered 500');
    assert.equal(answered.responseExcerpt, `no\ufffdpe ${'x'.repeat(1018)}`);
    assert.ok(answered.durationMs >= 0 && Date.parse(answered.startedAt) <= Date.now());
    assert.deepEqual(
      [broken.statusCode, broken.errorCode, broken.responseExcerpt],
      [null, 'connection', null],
    );
    assert.equal(lastError, broken.error);
  });

  test('that was the last ends the delivery as failed; a retry by hand makes one more', async () => {
    await using consumer = await addConsumer(service, (response) =>
      response.writeHead(consumer.received.length < 3 ? 500 : 204).end(),
    );
    await pushMail();
    const { id } = await deliveryAfter(service, consumer.id, 1);
    await sql`UPDATE deliveries SET attempts = ${MAX_ATTEMPTS - 1} WHERE id = ${id.slice(4)}`;
    await makeDue(sql, id);
    const failed = await deliveryAfter(service, consumer.id, MAX_ATTEMPTS);
    assert.deepEqual([failed.status, failed.nextAttemptAt], ['failed', null]);
    assert.ok(Date.parse(failed.completedAt) <= Date.now());

    for (const count of [1, 2]) {
      const { status, body } = await service.api('POST', `/v1/deliveries/${id}/retry`);
      assert.deepEqual([status, body.status], [202, 'pending']);
      const retried = await deliveryAfter(service, consumer.id, MAX_ATTEMPTS + count);
      assert.equal(retried.status, 'succeeded');
    }
    const ids = consumer.received.map(({ headers }) => headers['webhook-id']);
    assert.deepEqual(ids, Array(4).fill(failed.eventId));
  });
});

describe('an endpoint', () => {
  test('that answers 410 is disabled, others are told, and enabled again it gets what is pending', async () => {
    await using watcher = await addConsumer(service, undefined, { types: ['endpoint.disabled'] });
    await using consumer = await addConsumer(service, (response) =>
      response.writeHead(consumer.received.length === 1 ? 410 : 204).end(),
    );
    await pushMail();
    const [told] = await watcher.waitFor(1);
    const event = JSON.parse(told?.body ?? '');
    assert.equal(event.type, 'endpoint.disabled');
    assert.equal(event.data.endpoint.id, consumer.id);
    assert.equal(event.data.endpoint.enabled, false);
    assert.match(event.data.reason, /410/);
    const { id, status } = await deliveryAfter(service, consumer.id, 1);
    assert.equal(status, 'pending');

    await makeDue(sql, id);
    await service.api('POST', `/v1/endpoints/${consumer.id}/test`);
    assert.equal(consumer.received.length, 1);
    await service.api('POST', `/v1/endpoints/${consumer.id}/enable`);
    await consumer.waitFor(3);
    const ids = consumer.received.map(({ headers }) => headers['webhook-id']);
    assert.equal(ids.filter((one) => one === ids[0]).length, 2);
    assert.equal(watcher.received.length, 1);
  });

  test('that has moved is not disabled by what the program at its old URL answers', async () => {
    await using consumer = await addConsumer(service);
    const answers: (() => void)[] = [];
    await using old = await startConsumer(
      (response) => void answers.push(() => response.writeHead(410).end()),
    );
    const path = `/v1/endpoints/${consumer.id}`;
    await service.api('PATCH', path, { url: old.url });
    await pushMail();
    await old.waitFor(1);
    await sql`UPDATE endpoints SET failing_since = now() - interval '6 days' WHERE id = ${consumer.id.slice(3)}`;
    const { body } = await service.api('PATCH', path, { url: consumer.url });
    assert.deepEqual([body.url, body.failingSince], [consumer.url, null]);
    for (const answer of answers) answer();
    const { id, status } = await deliveryAfter(service, consumer.id, 1);
    assert.equal(status, 'pending');
    await makeDue(sql, id);
    await consumer.waitFor(1);
    assert.equal((await service.api('GET', path)).body.enabled, true);
  });

  test('that does nothing but fail for five days is disabled, once, and others are told', async () => {
    await using watcher = await addConsumer(service, undefined, { types: ['endpoint.disabled'] });
    await using consumer = await addConsumer(service, (response) => response.writeHead(500).end());
    await pushMail();
    const { id } = await deliveryAfter(service, consumer.id, 1);
    const path = `/v1/endpoints/${consumer.id}`;
    assert.equal((await service.api('GET', path)).body.failingSince, null);
    const since = '2026-01-01T00:00:00.000Z';
    await sql`UPDATE endpoints SET failing_since = ${since} WHERE id = ${consumer.id.slice(3)}`;
    assert.equal((await service.api('GET', path)).body.failingSince, since);
    await makeDue(sql, id);
    const [told] = await watcher.waitFor(1);
    const { type, data } = JSON.parse(told?.body ?? '');
    assert.deepEqual(
      [type, data.endpoint.id, data.endpoint.enabled],
      ['endpoint.disabled', consumer.id, false],
    );
    assert.match(data.reason, /5 days/);
    const { body: disabled } = await service.api('GET', path);
    assert.deepEqual([disabled.enabled, disabled.disabledReason], [false, data.reason]);
    assert.equal((await deliveryAfter(service, consumer.id, 2)).status, 'pending');

    const { body: enabled } = await service.api('POST', `${path}/enable`);
    assert.deepEqual([enabled.enabled, enabled.failingSince], [true, null]);
    await makeDue(sql, id);
    await deliveryAfter(service, consumer.id, 3);
    assert.equal((await service.api('GET', path)).body.enabled, true);
    assert.equal(watcher.received.length, 1);
  });

  test('that is sent a test gets it alone, whatever its types', async () => {
    await using other = await addConsumer(service);
    await using consumer = await addConsumer(service, undefined, { types: ['source.silent'] });
    const { status, body } = await service.api('POST', `/v1/endpoints/${consumer.id}/test`);
    assert.equal(status, 202);
    const [webhook] = await consumer.waitFor(1);
    assert.equal(webhook?.headers['webhook-id'], body.eventId);
    assert.equal(JSON.parse(webhook?.body ?? '').type, 'endpoint.test');
    assert.equal((await deliveryAfter(service, consumer.id, 1)).id, body.deliveryId);
    assert.equal(other.received.length, 0);
  });

  test('that hangs delays no other: that one has all its mail while the first still hangs', async () => {
    await using slow = await addConsumer(service, () => {});
    await using quick = await addConsumer(service);
    for (let count = 0; count < 40; count++) await pushMail();
    await quick.waitFor(40);
    await slow.waitFor(16);
    assert.equal(slow.received.length, 16, 'its maxInFlight');
  });
});
