import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import postgres, { type Sql } from 'postgres';
import { type Consumer, startConsumer } from '../support/consumer.ts';
import {
  ADMIN_TOKEN,
  addSource,
  batch,
  gmailItem,
  type PushSource,
  startTestService,
  type TestService,
} from '../support/service.ts';

let service: TestService;
let sql: Sql;
let source: PushSource;
let consumer: Consumer;
before(async () => {
  service = await startTestService();
  sql = postgres(service.databaseUrl, { max: 1 });
  source = await addSource(service);
  consumer = await startConsumer();
  const { status } = await service.api('POST', '/v1/endpoints', { url: consumer.url });
  assert.equal(status, 201);
});
after(async () => {
  await sql.end();
  await service.dispose();
  await consumer.close();
});

const HEADERS =
  'From: Ada <ada@example.com>\r\nTo: me@example.com\r\nSubject: A long mail\r\nMessage-ID: <long@example.com>\r\n';
const ATTACHMENT = 'Content-Type: application/pdf; name=a.pdf\r\nContent-Disposition: attachment\r\n';
const WHOLE = `${HEADERS}Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nThe whole text\r\n--x\r\n${ATTACHMENT}\r\nPDF\r\n--x--\r\n`;

let ids = 0;
const newId = () => `f${(++ids).toString(16)}`;
const wholeItem = (id: string) => gmailItem(id, WHOLE);
const truncatedItem = (id: string) => ({
  id,
  threadId: id,
  labelIds: ['INBOX'],
  internalDate: '1760000000000',
  truncated: true,
  headers: `${HEADERS}Content-Type: multipart/mixed; boundary=x\r\n`,
  snippet: 'The whole te',
});

type Result = { id: string; status: string; messageId: string };

async function pushItems(...items: unknown[]): Promise<Result[]> {
  const response = await service.push(source, batch(items));
  const { results } = (await response.json()) as { results: Result[] };
  return results;
}

async function expectOne(messageId: string, expected: 'whole' | 'truncated'): Promise<void> {
  const { body: message } = await service.api('GET', `/v1/messages/${messageId}`);
  const raw = await fetch(`${service.address}/v1/messages/${messageId}/raw`, {
    headers: { authorization: `Bearer ${ADMIN_TOKEN}` },
  }).then((response) => response.text());
  assert.equal(message.id, messageId);
  assert.equal(message.subject, 'A long mail');
  assert.equal(message.placement, 'inbox');
  assert.equal(message.truncated, expected === 'truncated');
  if (expected === 'whole') {
    assert.equal(message.text?.trim(), 'The whole text');
    assert.equal(message.attachments.length, 1);
    assert.equal(raw, WHOLE);
  } else {
    assert.deepEqual([message.text, message.html, message.attachments], [null, null, []]);
    assert.equal(message.snippet, 'The whole te');
    assert.equal(raw, truncatedItem('').headers);
  }
  const uuid = messageId.slice(4);
  const [row] = await sql`
    SELECT (SELECT count(*)::int FROM events WHERE id = ${uuid}) AS events,
           (SELECT count(*)::int FROM deliveries WHERE event_id = ${uuid}) AS deliveries,
           (SELECT count(*)::int FROM raw_mails WHERE message_id = ${uuid}) AS raw,
           (SELECT count(*)::int FROM dedupe_ledger WHERE message_id = ${uuid}) AS ledger`;
  assert.deepEqual({ ...row }, { events: 1, deliveries: 1, raw: 1, ledger: 1 });
}

test('truncated, then whole: completed in place under the same id', async () => {
  const id = newId();
  const [first] = await pushItems(truncatedItem(id));
  assert.equal(first?.status, 'accepted');
  await expectOne(first.messageId, 'truncated');

  const [second] = await pushItems(wholeItem(id));
  assert.deepEqual(second, { ...first, status: 'duplicate' });
  await expectOne(first.messageId, 'whole');
});

test('whole, then truncated: stays whole', async () => {
  const id = newId();
  const [first] = await pushItems(wholeItem(id));
  const [second] = await pushItems(truncatedItem(id));
  assert.deepEqual(second, { ...first, status: 'duplicate' });
  await expectOne(first?.messageId ?? '', 'whole');
});

test('truncated, whole, truncated again: stays whole', async () => {
  const id = newId();
  const [first] = await pushItems(truncatedItem(id));
  await pushItems(wholeItem(id));
  await pushItems(truncatedItem(id));
  await expectOne(first?.messageId ?? '', 'whole');
});

describe('both in one batch', () => {
  for (const [name, makers] of [
    ['the truncated first', [truncatedItem, wholeItem]],
    ['the whole first', [wholeItem, truncatedItem]],
  ] as const) {
    test(`${name}: stored whole, once`, async () => {
      const id = newId();
      const results = await pushItems(...makers.map((make) => make(id)));
      assert.deepEqual(results.map(({ status }) => status).sort(), ['accepted', 'duplicate']);
      assert.equal(results[0]?.messageId, results[1]?.messageId);
      await expectOne(results[0]?.messageId ?? '', 'whole');
    });

    test(`${name}, so far apart that each is stored with others: stored whole, once`, async () => {
      const id = newId();
      const between = Array.from({ length: 300 }, () => gmailItem(newId(), HEADERS));
      const results = await pushItems(makers[0](id), ...between, makers[1](id));
      assert.equal(results[0]?.messageId, results.at(-1)?.messageId);
      await expectOne(results[0]?.messageId ?? '', 'whole');
    });
  }
});

test('both at once in many requests: stored whole, once', async () => {
  const id = newId();
  const posts = Array.from({ length: 24 }, (_, index) =>
    pushItems(index % 2 === 0 ? truncatedItem(id) : wholeItem(id)),
  );
  const results = (await Promise.all(posts)).flat();
  assert.equal(results.filter(({ status }) => status === 'accepted').length, 1);
  assert.equal(new Set(results.map(({ messageId }) => messageId)).size, 1);
  await expectOne(results[0]?.messageId ?? '', 'whole');
});

test('the consumer hears of each mail once', async () => {
  const [row] = await sql`SELECT count(*)::int AS count FROM messages`;
  await consumer.waitFor(row?.count);
  const webhookIds = consumer.received.map(({ headers }) => headers['webhook-id']);
  assert.equal(new Set(webhookIds).size, webhookIds.length);
  assert.equal(webhookIds.length, row?.count);
});
