import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import postgres from 'postgres';
import { uuidOf } from '../../src/core/ids.ts';
import { startConsumer } from '../support/consumer.ts';
import { query, waitUntil } from '../support/embedded-place.ts';
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
let source: PushSource & { mailboxId: string };
before(async () => {
  service = await startTestService({ dispatch: false });
  source = await addSource(service);
});
after(() => service.dispose());

type Result = { results: [{ status: string; messageId: `msg_${string}` }] };
const WORD = 'Unforgettable';

async function pushMail(id: string, to: PushSource = source): Promise<Result['results'][0]> {
  const response = await service.push(to, batch([gmailItem(id, mailOf(WORD, WORD))]));
  return ((await response.json()) as Result).results[0];
}

const remove = (id: string) => service.api('DELETE', `/v1/messages/${id}`);

/** Every table that mentions a word or an id. */
async function tablesWith(text: string): Promise<string[]> {
  const tables = await query(
    service.databaseUrl,
    "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1",
  );
  const found: string[] = [];
  for (const { name } of tables) {
    const rows = await query(
      service.databaseUrl,
      `SELECT t::text AS row, to_jsonb(t)::text AS json FROM ${name} t`,
    );
    const hex = Buffer.from(text).toString('hex');
    if (rows.some(({ row, json }) => [row, json].some((one) => one.includes(text) || one.includes(hex))))
      found.push(name);
  }
  return found;
}

test('what a consumer answered to a deleted message is gone with it', async () => {
  const { id } = (await service.api('POST', '/v1/endpoints', { url: 'https://example.com/' })).body;
  const { messageId } = await pushMail('d0');
  await query(
    service.databaseUrl,
    `INSERT INTO attempts (id, delivery_id, started_at, duration_ms, status_code, response_excerpt)
     SELECT gen_random_uuid(), id, now(), 1, 500, 'no room for ${WORD}' FROM deliveries
     WHERE event_id = '${uuidOf(messageId)}'`,
  );
  assert.deepEqual(await tablesWith(WORD), ['attempts', 'messages', 'raw_mails']);
  assert.equal((await remove(messageId)).status, 204);
  assert.deepEqual(await tablesWith(WORD), []);
  assert.equal((await service.api('DELETE', `/v1/endpoints/${id}`)).status, 204);
});

for (const [when, isDeletedInBetween] of [
  ['before it is recorded', false],
  ['while it is recorded', true],
] as const) {
  test(`what a consumer answers to a message that is deleted ${when} is not kept`, async () => {
    const answers: (() => void)[] = [];
    await using consumer = await startConsumer(
      (response) => void answers.push(() => response.writeHead(500).end(`no room for ${WORD}`)),
    );
    const { id } = (await service.api('POST', '/v1/endpoints', { url: consumer.url })).body;
    const dispatching = await startTestService({ databaseUrl: service.databaseUrl });
    const sql = postgres(service.databaseUrl, { max: 1 });
    const { messageId } = await pushMail(`d0${when.length}`);
    await consumer.waitFor(1);
    if (isDeletedInBetween) {
      await sql.begin(async (tx) => {
        await tx`SELECT mailgress_delete_message(${uuidOf(messageId)})`;
        for (const answer of answers) answer();
        await waitUntil(
          'it is recorded',
          async () => (await query(service.databaseUrl, 'SELECT FROM attempts')).length > 0,
        );
      });
    } else {
      assert.equal((await remove(messageId)).status, 204);
      for (const answer of answers) answer();
    }
    await waitUntil(
      'it is recorded',
      async () => (await query(service.databaseUrl, 'SELECT FROM attempts')).length > 0,
    );
    assert.deepEqual(await tablesWith(WORD), []);
    await sql.end();
    await dispatching.dispose();
    await query(service.databaseUrl, 'DELETE FROM attempts');
    assert.equal((await service.api('DELETE', `/v1/endpoints/${id}`)).status, 204);
  });
}

test('what a rule held of a deleted message has failed by the deletion, and by no rule', async () => {
  const { id } = (await service.api('POST', '/v1/endpoints', { url: 'https://example.com/' })).body;
  const { messageId } = await pushMail('d-held');
  await query(
    service.databaseUrl,
    `UPDATE deliveries SET rule = 'vacation', next_attempt_at = now() + interval '1 day'
     WHERE event_id = '${uuidOf(messageId)}'`,
  );
  assert.equal((await remove(messageId)).status, 204);
  const { data } = (await service.api('GET', `/v1/deliveries?endpoint=${id}`)).body;
  assert.deepEqual([data.length, data[0].status, data[0].rule], [1, 'failed', null]);
  assert.equal((await service.api('DELETE', `/v1/endpoints/${id}`)).status, 204);
});

test('a deleted message is gone with its texts and bytes, and never comes again', async () => {
  const { messageId } = await pushMail('d1');
  assert.deepEqual(await tablesWith(WORD), ['messages', 'raw_mails']);
  assert.equal((await remove(messageId)).status, 204);
  assert.deepEqual(await tablesWith(WORD), []);
  for (const path of ['', '/raw', '/attachments/0']) {
    assert.equal((await service.api('GET', `/v1/messages/${messageId}${path}`)).status, 404, path);
  }
  assert.deepEqual((await service.api('GET', `/v1/messages?mailbox=${source.mailboxId}`)).body.data, []);
  assert.equal((await remove(messageId)).status, 404);
  assert.deepEqual(await pushMail('d1'), { id: 'd1', status: 'duplicate', messageId });
  assert.deepEqual(await tablesWith(WORD), []);
});

test('its event stays in the log, in its place, and says so', async () => {
  const { messageId } = await pushMail('d2');
  const { messageId: next } = await pushMail('d3');
  const eventsOf = async () => {
    const { body } = await service.api('GET', '/v1/events?limit=500');
    return body.data.filter(({ data }: { data: { id: string } }) =>
      [messageId, next].includes(data.id as `msg_${string}`),
    );
  };
  await waitUntil('the feed has both', async () => (await eventsOf()).length === 2);
  const [before] = await eventsOf();
  await remove(messageId);
  const [event, other] = await eventsOf();
  assert.deepEqual(event, {
    ...before,
    data: { id: messageId, tenant: 'default', mailboxId: source.mailboxId, deleted: true },
  });
  assert.equal(other.data.subject, WORD);
});

test('what was still to be sent of it is not, and says why; trying again does not help', async () => {
  await using consumer = await startConsumer();
  const { body: endpoint } = await service.api('POST', '/v1/endpoints', { url: consumer.url });
  const { messageId } = await pushMail('d4');
  const { messageId: kept } = await pushMail('d5');
  const deliveryOf = async (id: string) => {
    const { body } = await service.api('GET', `/v1/deliveries?endpoint=${endpoint.id}`);
    return body.data.find((one: { messageId: string }) => one.messageId === id);
  };
  await remove(messageId);
  const failed = await deliveryOf(messageId);
  assert.deepEqual(
    [failed.status, failed.lastError, failed.attemptCount],
    ['failed', 'the message was deleted before it could be sent', 0],
  );
  assert.equal((await deliveryOf(kept)).status, 'pending');

  await service.api('POST', `/v1/deliveries/${failed.id}/retry`);
  const dispatching = await startTestService({ databaseUrl: service.databaseUrl });
  const [webhook] = await consumer.waitFor(1);
  assert.equal(JSON.parse(webhook?.body ?? '').data.id, kept);
  await waitUntil('the retry has ended', async () => (await deliveryOf(messageId)).status === 'failed');
  const { body: tried } = await service.api('GET', `/v1/deliveries/${failed.id}`);
  assert.deepEqual(
    tried.attempts.map(({ errorCode }: { errorCode: string }) => errorCode),
    ['deleted'],
  );
  assert.equal(consumer.received.length, 1);
  await dispatching.dispose();
  await service.api('DELETE', `/v1/endpoints/${endpoint.id}`);
});

test('a truncated message that was deleted is not completed by its whole copy', async () => {
  const headers = `Subject: ${WORD}\r\n`;
  const response = await service.push(source, batch([{ id: 'd6', truncated: true, headers }]));
  const { messageId } = ((await response.json()) as Result).results[0];
  await remove(messageId);
  assert.equal((await pushMail('d6')).status, 'duplicate');
  assert.equal((await service.api('GET', `/v1/messages/${messageId}`)).status, 404);
  const raw = await query(
    service.databaseUrl,
    `SELECT FROM raw_mails WHERE message_id = '${uuidOf(messageId)}'`,
  );
  assert.equal(raw.length, 0);
});

test('what is left of it goes with its mailbox', async () => {
  const other = await addSource(service);
  const { messageId } = await pushMail('d7', other);
  await remove(messageId);
  await service.api('DELETE', `/v1/mailboxes/${other.mailboxId}`);
  const left = await query(service.databaseUrl, `SELECT FROM events WHERE id = '${uuidOf(messageId)}'`);
  assert.equal(left.length, 0);
});
