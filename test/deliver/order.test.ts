import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import postgres, { type Sql } from 'postgres';
import { MAX_ATTEMPTS } from '../../src/core/retry.ts';
import { addConsumer, makeDue } from '../support/deliveries.ts';
import { waitUntil } from '../support/embedded-place.ts';
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
let one: PushSource;
let other: PushSource;
let sql: Sql;
before(async () => {
  service = await startTestService({ random: () => 0.5 });
  one = await addSource(service);
  other = await addSource(service);
  sql = postgres(service.databaseUrl, { max: 2, onnotice: () => {} });
});
after(async () => {
  await sql.end();
  await service.dispose();
});

let mails = 0;
async function pushMails(source: PushSource, subjects: string[]): Promise<void> {
  for (const subject of subjects) {
    const item = gmailItem(`18f${(++mails).toString(16)}`, mailOf(subject));
    assert.equal((await service.push(source, batch([item]))).status, 200);
  }
}

const subjectOf = ({ body }: { body: string }): string => JSON.parse(body).data.subject;

async function listed(endpointId: string, status: string) {
  return (await service.api('GET', `/v1/deliveries?endpoint=${endpointId}&status=${status}&limit=500`)).body
    .data;
}

describe('an endpoint with the order mailbox', () => {
  test('gets a mail only when those before it in its mailbox are taken; other mailboxes go on', async () => {
    let isBroken = true;
    await using consumer = await addConsumer(
      service,
      (response, request) => response.writeHead(isBroken && subjectOf(request) === 'a1' ? 500 : 204).end(),
      { order: 'mailbox' },
    );
    await pushMails(one, ['a1', 'a2', 'a3']);
    await pushMails(other, ['b1', 'b2', 'b3']);
    await waitUntil('all of the other mailbox came', () => consumer.received.length === 4);
    await waitUntil('they are recorded', async () => (await listed(consumer.id, 'succeeded')).length === 3);
    const waiting = await listed(consumer.id, 'pending');
    const head = waiting.at(-1);
    assert.deepEqual([waiting.length, head.attemptCount], [3, 1]);

    isBroken = false;
    await makeDue(sql, head.id);
    await waitUntil('the rest came', () => consumer.received.length === 7);
    const subjects = consumer.received.map(subjectOf);
    assert.deepEqual(
      subjects.filter((subject) => subject.startsWith('a')),
      ['a1', 'a1', 'a2', 'a3'],
    );
    assert.deepEqual(
      subjects.filter((subject) => subject.startsWith('b')),
      ['b1', 'b2', 'b3'],
    );
  });

  test('never has two of a mailbox under way, and keeps the order of a long queue', async () => {
    const underWay = new Set<string>();
    let collisions = 0;
    await using consumer = await addConsumer(
      service,
      (response, request) => {
        const { mailboxId } = JSON.parse(request.body).data;
        if (underWay.has(mailboxId)) collisions++;
        underWay.add(mailboxId);
        setImmediate(() => {
          underWay.delete(mailboxId);
          response.writeHead(204).end();
        });
      },
      { order: 'mailbox' },
    );
    const subjects = Array.from({ length: 60 }, (_, index) => `${index}`);
    await Promise.all([pushMails(one, subjects), pushMails(other, subjects)]);
    const received = await consumer.waitFor(120, 60_000);
    for (const mailbox of new Set(received.map(({ body }) => JSON.parse(body).data.mailboxId))) {
      const own = received.filter(({ body }) => JSON.parse(body).data.mailboxId === mailbox);
      const times = own.map(({ body }) => JSON.parse(body).data.id.slice(4, 16));
      assert.deepEqual(times, times.toSorted(), 'by the time in their ids');
      assert.equal(own.length, 60);
    }
    assert.equal(collisions, 0);
  });

  test('goes on behind one that is given up, and behind one that a rule leaves out', async () => {
    await using consumer = await addConsumer(
      service,
      (response, request) => response.writeHead(subjectOf(request) === 'dead' ? 500 : 204).end(),
      { order: 'mailbox', rules: { subjectContains: ['dead', 'alive'] } },
    );
    await pushMails(one, ['dead', 'left out', 'alive']);
    await waitUntil(
      'it failed',
      async () => (await listed(consumer.id, 'pending')).at(-1)?.attemptCount === 1,
    );
    assert.equal(consumer.received.length, 1);
    const { id } = (await listed(consumer.id, 'pending')).at(-1);
    await sql`UPDATE deliveries SET attempts = ${MAX_ATTEMPTS - 1} WHERE id = ${id.slice(4)}`;
    await makeDue(sql, id);
    await consumer.waitFor(3);
    assert.deepEqual(consumer.received.map(subjectOf), ['dead', 'dead', 'alive']);
    await waitUntil('one is skipped', async () => (await listed(consumer.id, 'skipped')).length === 1);
  });

  test('that loses its order sends what is parked', async () => {
    await using consumer = await addConsumer(
      service,
      (response, request) => response.writeHead(subjectOf(request) === 'first' ? 500 : 204).end(),
      { order: 'mailbox' },
    );
    await pushMails(one, ['first', 'second', 'third']);
    await waitUntil('the others are parked', async () => {
      const rows = await sql`
        SELECT FROM deliveries WHERE endpoint_id = ${consumer.id.slice(3)} AND next_attempt_at = 'infinity'`;
      return rows.length === 2;
    });
    await service.api('PATCH', `/v1/endpoints/${consumer.id}`, { order: null });
    await consumer.waitFor(3);
  });

  test('finds again what was parked and never woken', async () => {
    await using consumer = await addConsumer(service, undefined, { order: 'mailbox' });
    await service.api('POST', `/v1/endpoints/${consumer.id}/disable`);
    const [{ id } = { id: '' }] = await sql<{ id: string }[]>`
      INSERT INTO deliveries (id, endpoint_id, event_id, lane, next_attempt_at)
      SELECT mailgress_uuidv7(), ${consumer.id.slice(3)}, id, mailbox_id, 'infinity' FROM events
      WHERE type = 'message.received' ORDER BY id LIMIT 1 RETURNING id`;
    assert.ok(id);
    await service.api('POST', `/v1/endpoints/${consumer.id}/enable`);
    await consumer.waitFor(1);
  });
});

describe('an endpoint with a rate', () => {
  test('gets no more in a second than it allows, and all of it', async () => {
    const times: number[] = [];
    await using consumer = await addConsumer(
      service,
      (response) => {
        times.push(performance.now());
        response.writeHead(204).end();
      },
      { ratePerSecond: 20 },
    );
    await pushMails(
      one,
      Array.from({ length: 60 }, (_, index) => `${index}`),
    );
    await consumer.waitFor(60, 60_000);
    const tookMs = (times.at(-1) ?? 0) - (times[0] ?? 0);
    // 60 with a first tenth of a second at once.
    assert.ok(tookMs >= 2500, `${tookMs} ms`);
    const { body } = await service.api('PATCH', `/v1/endpoints/${consumer.id}`, { ratePerSecond: null });
    assert.equal(body.ratePerSecond, null);
  });
});
