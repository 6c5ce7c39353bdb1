import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import postgres, { type Sql } from 'postgres';
import { type Consumer, startConsumer } from '../support/consumer.ts';
import { createTestDatabase } from '../support/database.ts';
import { waitUntil } from '../support/embedded-place.ts';
import { type MailgressProcess, startMailgress } from '../support/process.ts';
import {
  ADMIN_TOKEN,
  addSource,
  batch,
  callApi,
  gmailItem,
  mailOf,
  type PushSource,
  push,
  SECRET_KEY,
} from '../support/service.ts';

/* Two processes on one database: what is a duplicate is for PostgreSQL to say, not for either of them. */

let database: Awaited<ReturnType<typeof createTestDatabase>>;
let sql: Sql;
let consumer: Consumer;
let processes: MailgressProcess[] = [];
let addresses: string[];
before(async () => {
  database = await createTestDatabase();
  sql = postgres(database.url, { max: 1, onnotice: () => {} });
  consumer = await startConsumer();
  const env = {
    DATABASE_URL: database.url,
    MAILGRESS_ADMIN_TOKEN: ADMIN_TOKEN,
    MAILGRESS_SECRET_KEY: SECRET_KEY,
    MAILGRESS_EGRESS_ALLOW: '127.0.0.0/8',
  };
  processes = [startMailgress(['serve'], env), startMailgress(['serve'], env)];
  addresses = await Promise.all(processes.map((one) => one.ready()));
  await callApi(addresses[0] ?? '', 'POST', '/v1/endpoints', { url: consumer.url });
});
after(async () => {
  for (const one of processes) await one[Symbol.asyncDispose]();
  await consumer.close();
  await sql.end();
  await database.drop();
});

/** The same request to both processes in turn, all at once; answers every result. */
async function postAtOnce(source: PushSource, body: string, times: number): Promise<Result[]> {
  const answers = await Promise.all(
    Array.from({ length: times }, async (_, index) => {
      const ingestUrl = new URL(new URL(source.ingestUrl).pathname, addresses[index % 2]).href;
      let response = await push({ ...source, ingestUrl }, body);
      // Told to come again, as a client is that meets a store with too much to do.
      while (response.status === 503) {
        await sleep(Number(response.headers.get('retry-after')) * 1000);
        response = await push({ ...source, ingestUrl }, body);
      }
      assert.equal(response.status, 200);
      return ((await response.json()) as { results: Result[] }).results;
    }),
  );
  return answers.flat();
}

type Result = { status: string; messageId: string };

async function assertStoredOnce(results: readonly Result[], subject: string): Promise<void> {
  const [accepted, ...others] = results.filter(({ status }) => status === 'accepted');
  assert.ok(accepted);
  assert.deepEqual(others, []);
  const duplicates = results.filter(({ status }) => status === 'duplicate');
  assert.equal(duplicates.length, results.length - 1);
  assert.deepEqual([...new Set(results.map(({ messageId }) => messageId))], [accepted.messageId]);

  const id = accepted.messageId.slice('msg_'.length);
  const stored = await sql`SELECT id FROM messages WHERE subject = ${subject}`;
  assert.deepEqual(
    stored.map((row) => row.id.replaceAll('-', '')),
    [id],
  );
  await waitUntil('it was delivered', () => webhookIds().includes(`evt_${id}`));
}

const webhookIds = () => consumer.received.map(({ headers }) => headers['webhook-id']);

test('one mail posted 50 times at once over two processes: one message, one event, 49 duplicates that name it', async () => {
  const source = await addSource({ address: addresses[0] ?? '' });
  // Several rounds, as a race may be won by chance.
  for (let round = 0; round < 5; round++) {
    const subject = `Race ${round}`;
    const results = await postAtOnce(source, batch([gmailItem(`18c0de${round}`, mailOf(subject))]), 50);
    assert.equal(results.length, 50);
    await assertStoredOnce(results, subject);
  }
});

test('so does one without a provider id, pushed as its bytes, and one that is twice in each batch', async () => {
  const raw = await addSource({ address: addresses[0] ?? '' }, 'raw');
  await assertStoredOnce(await postAtOnce(raw, mailOf('Raw race'), 50), 'Raw race');

  const source = await addSource({ address: addresses[0] ?? '' });
  const item = gmailItem('18c0dee', mailOf('Twin race'));
  const results = await postAtOnce(source, batch([item, item]), 50);
  assert.equal(results.length, 100);
  await assertStoredOnce(results, 'Twin race');
});

test('overlapping batches in opposite order store each mail once and keep no one waiting for ever', async () => {
  const source = await addSource({ address: addresses[0] ?? '' });
  const items = Array.from({ length: 40 }, (_, index) =>
    gmailItem(`18c0ff${index.toString(16).padStart(2, '0')}`, mailOf(`Ring ${index}`)),
  );
  const [forth, back] = await Promise.all([
    postAtOnce(source, batch(items), 20),
    postAtOnce(source, batch(items.toReversed()), 20),
  ]);
  const accepted = [...forth, ...back].filter(({ status }) => status === 'accepted');
  assert.equal(accepted.length, 40);
  assert.equal(new Set([...forth, ...back].map(({ messageId }) => messageId)).size, 40);
});

test('then each message has one event, and each event came to the consumer under its one id', async () => {
  const rows = await sql`
    SELECT messages.id FROM messages
    JOIN events ON events.id = messages.id AND type = 'message.received'
    JOIN raw_mails ON raw_mails.message_id = messages.id`;
  const [count] = await sql`SELECT (SELECT count(*)::int FROM messages) AS messages,
    (SELECT count(*)::int FROM events) AS events, (SELECT count(*)::int FROM raw_mails) AS raw,
    (SELECT count(*)::int FROM deliveries) AS deliveries`;
  assert.deepEqual({ ...count }, { messages: 47, events: 47, raw: 47, deliveries: 47 });
  const expected = rows.map((row) => `evt_${row.id.replaceAll('-', '')}`);
  assert.equal(expected.length, 47);
  await waitUntil('all are delivered', () => new Set(webhookIds()).size === 47);
  assert.deepEqual([...new Set(webhookIds())].sort(), expected.sort());
});
