import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { EVENTS } from '../../src/core/event-data.ts';
import { eventTypeSchema } from '../../src/core/resources.ts';
import { printOpenApi, SNAPSHOT } from '../support/openapi-snapshot.ts';

test('openapi.json is what the code says: `npm run openapi` writes it', async () => {
  assert.ok(
    (await readFile(SNAPSHOT, 'utf8')) === (await printOpenApi()),
    'run `npm run openapi`, and commit it',
  );
});

test('describes every type of event, with its type, its time and its data', async () => {
  const { webhooks } = JSON.parse(await printOpenApi());
  assert.deepEqual(Object.keys(webhooks), [...eventTypeSchema.options, 'endpoint.test']);
  assert.deepEqual(Object.keys(webhooks), Object.keys(EVENTS));
  for (const [type, { post }] of Object.entries<{ post: Record<string, never> }>(webhooks)) {
    const { requestBody, parameters, summary }: Record<string, never> = post;
    assert.ok(summary, type);
    // biome-ignore lint/suspicious/noExplicitAny: a document of many shapes
    const { schema } = (requestBody as any).content['application/json'];
    assert.deepEqual(schema.required, ['type', 'timestamp', 'data']);
    assert.deepEqual([schema.properties.type.const ?? schema.properties.type.enum?.[0]], [type]);
    assert.deepEqual(
      (parameters as unknown as { name: string; in: string }[]).map(({ name }) => name),
      ['webhook-id', 'webhook-timestamp', 'webhook-signature'],
    );
  }
  const { data } =
    webhooks['source.state_changed'].post.requestBody.content['application/json'].schema.properties;
  assert.deepEqual(Object.keys(data.properties), ['source', 'previous', 'reason']);
  assert.deepEqual(data.required, ['source']);
});
