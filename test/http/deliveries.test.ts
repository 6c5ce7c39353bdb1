import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { attemptSchema, deliverySchema } from '../../src/core/resources.ts';
import { startConsumer } from '../support/consumer.ts';
import { waitUntil } from '../support/embedded-place.ts';
import {
  ADMIN_TOKEN,
  addSource,
  batch,
  gmailItem,
  mailOf,
  type PushSource,
  startTestService,
  type TestService,
} from '../support/service.ts';
import { expectProblem, faultPaths } from './problem.ts';

let service: TestService;
let source: PushSource;
before(async () => {
  service = await startTestService();
  source = await addSource(service);
});
after(() => service.dispose());

let ids = 0;
async function storeMail(): Promise<string> {
  const response = await service.push(source, batch([gmailItem(`de${++ids}`, mailOf(`Mail ${ids}`))]));
  return ((await response.json()) as { results: [{ messageId: string }] }).results[0].messageId;
}

const listed = async (query: string) => (await service.api('GET', `/v1/deliveries?${query}`)).body.data;

async function deliveryIn(status: string, endpointId: string) {
  await waitUntil(`the delivery is ${status}`, async () => {
    const [delivery] = await listed(`endpoint=${endpointId}`);
    return delivery?.status === status && (status !== 'pending' || delivery.attemptCount > 0);
  });
  const [{ id }] = await listed(`endpoint=${endpointId}`);
  return (await service.api('GET', `/v1/deliveries/${id}`)).body;
}

test('a delivery that succeeded tells its one attempt', async () => {
  const consumer = await startConsumer((response) => response.writeHead(200).end('thank you'));
  const { body: endpoint } = await service.api('POST', '/v1/endpoints', { url: consumer.url });
  const messageId = await storeMail();
  const { attempts, ...delivery } = await deliveryIn('succeeded', endpoint.id);

  assert.deepEqual(deliverySchema.strict().parse(delivery), delivery);
  assert.equal(delivery.endpointId, endpoint.id);
  assert.equal(delivery.messageId, messageId);
  assert.equal(delivery.eventId, messageId.replace('msg_', 'evt_'));
  assert.equal(delivery.eventId, consumer.received[0]?.headers['webhook-id']);
  assert.deepEqual(
    [
      delivery.eventType,
      delivery.attemptCount,
      delivery.nextAttemptAt,
      delivery.lastStatusCode,
      delivery.lastError,
    ],
    ['message.received', 1, null, 200, null],
  );
  assert.ok(delivery.completedAt >= delivery.createdAt);

  const [attempt, ...more] = attempts;
  assert.deepEqual(more, []);
  assert.deepEqual(attemptSchema.strict().parse(attempt), attempt);
  assert.deepEqual([attempt.statusCode, attempt.error, attempt.responseExcerpt], [200, null, 'thank you']);
  assert.deepEqual(await listed(`endpoint=${endpoint.id}`), [delivery]);
  await service.api('DELETE', `/v1/endpoints/${endpoint.id}`);
  await consumer.close();
});

test('a delivery that failed waits for its next try, and a retry makes it now, under the same id', async () => {
  let status = 500;
  const consumer = await startConsumer((response) => response.writeHead(status).end('a\0b\ufffd'));
  const { body: endpoint } = await service.api('POST', '/v1/endpoints', { url: consumer.url });
  await storeMail();
  const failed = await deliveryIn('pending', endpoint.id);
  assert.deepEqual([failed.attemptCount, failed.lastStatusCode, failed.completedAt], [1, 500, null]);
  assert.ok(failed.nextAttemptAt > failed.createdAt);

  status = 204;
  const retried = await service.api('POST', `/v1/deliveries/${failed.id}/retry`);
  assert.deepEqual([retried.status, retried.body.id], [202, failed.id]);
  const succeeded = await deliveryIn('succeeded', endpoint.id);
  assert.deepEqual(
    [succeeded.attempts.length, succeeded.lastStatusCode, succeeded.lastError],
    [2, 204, null],
  );

  // Once more, though it has succeeded.
  await service.api('POST', `/v1/deliveries/${failed.id}/retry`);
  await consumer.waitFor(3);
  assert.equal(new Set(consumer.received.map(({ headers }) => headers['webhook-id'])).size, 1);
  await service.api('DELETE', `/v1/endpoints/${endpoint.id}`);
  await consumer.close();
});

test('the list is filtered by endpoint and status', async () => {
  const consumer = await startConsumer();
  const { body: one } = await service.api('POST', '/v1/endpoints', { url: consumer.url });
  const { body: two } = await service.api('POST', '/v1/endpoints', { url: consumer.url });
  await service.api('POST', `/v1/endpoints/${two.id}/disable`);
  for (const { id } of [one, one, two]) await service.api('POST', `/v1/endpoints/${id}/test`);
  await consumer.waitFor(2);
  await waitUntil(
    'both succeeded',
    async () => (await listed(`endpoint=${one.id}&status=succeeded`)).length === 2,
  );
  assert.equal((await listed(`endpoint=${one.id}`)).length, 2);
  assert.deepEqual(await listed(`endpoint=${two.id}&status=succeeded`), []);
  assert.equal((await listed(`endpoint=${two.id}&status=pending`)).length, 1);
  assert.deepEqual(await listed(`endpoint=ep_${'0'.repeat(32)}`), []);
  const [{ createdAt }] = await listed(`endpoint=${two.id}`);
  const after = (ms: number) => new Date(Date.parse(createdAt) + ms).toISOString();
  assert.equal((await listed(`endpoint=${two.id}&since=${after(-1000)}`)).length, 1);
  assert.equal((await listed(`endpoint=${two.id}&since=${after(1000)}`)).length, 0);
  assert.deepEqual(await listed(`endpoint=${two.id}&status=skipped`), []);
  await consumer.close();
});

test('refuses a filter that can be none', async () => {
  for (const [query, path] of [
    ['status=lost', 'status'],
    ['endpoint=nobody', 'endpoint'],
    ['endpoint=%00', 'endpoint'],
    ['since=today', 'since'],
  ]) {
    const response = await fetch(`${service.address}/v1/deliveries?${query}`, {
      headers: { authorization: `Bearer ${ADMIN_TOKEN}` },
    });
    assert.deepEqual(faultPaths(await expectProblem(response, 400, 'bad_request')), [path]);
  }
});
