import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Webhook } from 'standardwebhooks';
import { startConsumer } from './support/consumer.ts';
import {
  addSource,
  batch,
  gmailItem,
  mailOf,
  startTestService,
  type TestService,
} from './support/service.ts';

let service: TestService;
before(async () => {
  service = await startTestService();
});
after(() => service.dispose());

test('a pushed mail is stored once and reaches the consumer, signed', async () => {
  const consumer = await startConsumer();
  const { body: endpoint } = await service.api('POST', '/v1/endpoints', { url: consumer.url });
  const source = await addSource(service);

  const body = batch([gmailItem('18c0ffee', mailOf('First light'))]);
  const first = await service.push(source, body);
  assert.equal(first.status, 200);
  const { results } = (await first.json()) as { results: { status: string; messageId: string }[] };
  assert.equal(results[0]?.status, 'accepted');
  const again = (await (await service.push(source, body)).json()) as typeof results & { results: unknown };
  assert.deepEqual(again.results, [
    { id: '18c0ffee', status: 'duplicate', messageId: results[0]?.messageId },
  ]);

  const [webhook] = await consumer.waitFor(1);
  assert.ok(webhook);
  const event = new Webhook(endpoint.secret).verify(
    webhook.body,
    webhook.headers as Record<string, string>,
  ) as { type: string; data: { id: string; subject: string } };
  assert.equal(event.type, 'message.received');
  assert.equal(event.data.id, results[0]?.messageId);
  assert.equal(event.data.subject, 'First light');
  assert.equal(consumer.received.length, 1);
  await service.api('DELETE', `/v1/endpoints/${endpoint.id}`);
  await consumer.close();
});
