import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import postgres, { type Sql } from 'postgres';
import { Webhook } from 'standardwebhooks';
import type { Received } from '../support/consumer.ts';
import { addConsumer } from '../support/deliveries.ts';
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
  service = await startTestService();
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

test('a secret that is rotated again within a day leaves those before it valid, so that an answer lost locks nobody out', async () => {
  await using consumer = await addConsumer(service);
  const path = `/v1/endpoints/${consumer.id}/rotate-secret`;
  const secrets = [consumer.secret];
  for (const _ of [1, 2, 3]) secrets.push((await service.api('POST', path)).body.secret);
  await pushMail();
  const [all] = await consumer.waitFor(1);
  assert.ok(all);
  for (const secret of secrets) new Webhook(secret).verify(all.body, headersOf(all));
  assert.equal(`${all.headers['webhook-signature']}`.split(' ').length, 4);

  // Two of them come to their end.
  await sql`
    UPDATE endpoints SET older_secrets = (
      SELECT jsonb_agg(jsonb_set(older, '{until}', to_jsonb(now()))) FROM jsonb_array_elements(older_secrets) older
    ) WHERE id = ${consumer.id.slice(3)}`;
  for (const _ of [1, 2, 3]) secrets.push((await service.api('POST', path)).body.secret);
  await pushMail();
  const [, later] = await consumer.waitFor(2);
  assert.ok(later);
  for (const secret of secrets.slice(2)) new Webhook(secret).verify(later.body, headersOf(later));
  for (const secret of secrets.slice(0, 2))
    assert.throws(() => new Webhook(secret).verify(later.body, headersOf(later)));

  for (const _ of [1, 2]) secrets.push((await service.api('POST', path)).body.secret);
  const [row] = await sql`SELECT older_secrets AS older FROM endpoints WHERE id = ${consumer.id.slice(3)}`;
  assert.equal(row?.older.length, 3, 'no more, however often');
  await sql`UPDATE endpoints SET previous_secret_until = now() WHERE id = ${consumer.id.slice(3)}`;
  await service.api('POST', path);
  const [late] = await sql`SELECT older_secrets AS older FROM endpoints WHERE id = ${consumer.id.slice(3)}`;
  assert.deepEqual(late?.older, [], 'a day later they are forgotten');
});
