import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import postgres, { type Sql } from 'postgres';
import { addConsumer, deliveryAfter, makeDue } from '../support/deliveries.ts';
import { waitUntil } from '../support/embedded-place.ts';
import {
  type Answer,
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
let sql: Sql;
before(async () => {
  service = await startTestService({ random: () => 0.5 });
  source = await addSource(service);
  sql = postgres(service.databaseUrl, { max: 2, onnotice: () => {} });
});
after(async () => {
  await sql.end();
  await service.dispose();
});

let mails = 0;
async function pushMail(subject: string, to: PushSource = source): Promise<void> {
  const item = gmailItem(`18d${(++mails).toString(16)}`, mailOf(subject));
  assert.equal((await service.push(to, batch([item]))).status, 200);
}

async function deliveriesOf(endpointId: string, query = ''): Promise<Answer['body'][]> {
  return (await service.api('GET', `/v1/deliveries?endpoint=${endpointId}${query}`)).body.data;
}

/** The endpoint's deliveries, newest first, once there are so many of that status. */
async function waitForStatus(endpointId: string, status: string, count: number): Promise<Answer['body'][]> {
  let found: Answer['body'][] = [];
  await waitUntil(`${count} are ${status}`, async () => {
    found = await deliveriesOf(endpointId, `&status=${status}`);
    return found.length === count;
  });
  return found;
}

const subjectsOf = (received: { body: string }[]) =>
  received.map(({ body }) => JSON.parse(body).data.subject);

const AWAY = { vacation: { from: '2020-01-01T00:00:00Z', to: '2120-01-01T00:00:00Z' } };

describe('what a rule leaves out', () => {
  test('is skipped and says by which rule; retried by hand it is sent all the same', async () => {
    await using consumer = await addConsumer(service, undefined, { rules: { subjectContains: ['wanted'] } });
    await pushMail('Noise');
    await pushMail('Wanted');
    await consumer.waitFor(1);
    assert.deepEqual(subjectsOf(consumer.received), ['Wanted']);
    const [skipped] = await waitForStatus(consumer.id, 'skipped', 1);
    assert.deepEqual(
      [skipped.rule, skipped.attemptCount, skipped.nextAttemptAt, skipped.lastError],
      ['subjectContains', 0, null, null],
    );
    assert.ok(Date.parse(skipped.completedAt) <= Date.now() + 1000);

    const { body } = await service.api('POST', `/v1/deliveries/${skipped.id}/retry`);
    assert.deepEqual([body.id, body.rule], [skipped.id, null]);
    await consumer.waitFor(2);
    assert.equal(consumer.received[1]?.headers['webhook-id'], skipped.eventId);
    assert.equal((await waitForStatus(consumer.id, 'succeeded', 2)).length, 2);
  });

  test('can be of no message as another version has it, which holds up none that were claimed with it', async () => {
    await using consumer = await addConsumer(service, undefined, {
      rules: { recipients: ['me@example.com'] },
      maxInFlight: 16,
    });
    // None goes until all are there.
    await sql`UPDATE endpoints SET max_in_flight = 0 WHERE id = ${consumer.id.slice(3)}`;
    for (const subject of ['first', 'odd', 'last']) await pushMail(subject);
    await sql`
      UPDATE messages SET document = '{"subject": "odd", "to": null}'::json
      WHERE document ->> 'subject' = 'odd'`;
    await sql`UPDATE endpoints SET max_in_flight = 16 WHERE id = ${consumer.id.slice(3)}`;
    await consumer.waitFor(3);
    assert.deepEqual(subjectsOf(consumer.received).sort(), ['first', 'last', 'odd']);
  });

  test('is nothing of a test event', async () => {
    await using consumer = await addConsumer(service, undefined, {
      rules: { ...AWAY, mailboxes: [`mbx_${'0'.repeat(32)}`] },
      types: ['gap.opened'],
    });
    await service.api('POST', `/v1/endpoints/${consumer.id}/test`);
    await consumer.waitFor(1);
  });

  test('is also what the endpoint no longer asks for when its turn comes', async () => {
    await using consumer = await addConsumer(service, undefined, { rules: AWAY });
    await pushMail('Late');
    await waitUntil('it is held', async () => (await deliveriesOf(consumer.id))[0]?.rule === 'vacation');
    await service.api('PATCH', `/v1/endpoints/${consumer.id}`, { types: ['gap.opened'], rules: {} });
    const [skipped] = await waitForStatus(consumer.id, 'skipped', 1);
    assert.equal(skipped.rule, 'types');
    assert.equal(consumer.received.length, 0);
  });

  test('takes nothing of the rate of what is sent', async () => {
    await using consumer = await addConsumer(service, undefined, {
      rules: { subjectContains: ['wanted'] },
      ratePerSecond: 1,
    });
    const startedMs = performance.now();
    for (let count = 0; count < 20; count++) await pushMail('Noise');
    await waitForStatus(consumer.id, 'skipped', 20);
    assert.ok(performance.now() - startedMs < 15_000, 'at one a second it would have been twenty');
  });
});

describe('what is held', () => {
  test('waits until the end of it, and then comes oldest first', async () => {
    const to = new Date(Date.now() + 3000);
    await using consumer = await addConsumer(service, undefined, {
      rules: { vacation: { from: '2020-01-01T00:00:00Z', to: to.toISOString() } },
      maxInFlight: 1,
    });
    for (const subject of ['one', 'two', 'three']) await pushMail(subject);
    await consumer.waitFor(3);
    assert.ok(Date.now() >= to.getTime());
    assert.deepEqual(subjectsOf(consumer.received), ['one', 'two', 'three']);
  });

  test('is pending until then and names the rule; new rules hold for it at once', async () => {
    await using consumer = await addConsumer(service, undefined, { rules: AWAY, maxInFlight: 1 });
    for (const subject of ['one', 'two', 'drop']) await pushMail(subject);
    await waitUntil('all are held', async () => {
      const held = await deliveriesOf(consumer.id, '&status=pending');
      return held.length === 3 && held.every((one) => one.nextAttemptAt === '2120-01-01T00:00:00.000Z');
    });
    const path = `/v1/endpoints/${consumer.id}`;
    const { body } = await service.api('PATCH', path, { rules: { subjectContains: ['one', 'two'] } });
    assert.deepEqual(body.rules, { subjectContains: ['one', 'two'] });
    await consumer.waitFor(2);
    assert.deepEqual(subjectsOf(consumer.received), ['one', 'two']);
    const [skipped] = await waitForStatus(consumer.id, 'skipped', 1);
    assert.equal(skipped.rule, 'subjectContains');
    const [sent] = await waitForStatus(consumer.id, 'succeeded', 2);
    assert.equal(sent.rule, null);
  });

  test('is sent by hand all the same', async () => {
    await using consumer = await addConsumer(service, undefined, { rules: AWAY });
    await pushMail('urgent');
    await waitUntil('it is held', async () => (await deliveriesOf(consumer.id))[0]?.rule === 'vacation');
    const [held] = await deliveriesOf(consumer.id);
    await service.api('POST', `/v1/deliveries/${held.id}/retry`);
    await consumer.waitFor(1);
  });
});

describe('a subject group', () => {
  const rules = { subjectGroup: { windowMs: 3_600_000 } };

  test('lets its first mail through, again and again until it is taken, and for a while no other', async () => {
    await using consumer = await addConsumer(
      service,
      (response) => response.writeHead(consumer.received.length < 2 ? 500 : 204).end(),
      { rules },
    );
    await pushMail('Server down');
    const failed = await deliveryAfter(service, consumer.id, 1);
    await pushMail('Re: Server down');
    await pushMail('AW: server  down');
    const skipped = await waitForStatus(consumer.id, 'skipped', 2);
    assert.deepEqual(new Set(skipped.map(({ rule }) => rule)), new Set(['subjectGroup']));
    await makeDue(sql, failed.id);
    await consumer.waitFor(2);
    assert.deepEqual(subjectsOf(consumer.received), ['Server down', 'Server down']);

    // What the passing of an hour does.
    await sql`UPDATE subject_groups SET opened_at = opened_at - interval '1 hour'`;
    await pushMail('Re: Server down');
    await consumer.waitFor(3);
  });

  test('is none for mails without a subject, and each endpoint has its own', async () => {
    await using one = await addConsumer(service, undefined, { rules });
    await using other = await addConsumer(service, undefined, { rules });
    for (const subject of ['', '', 'same', 'same']) await pushMail(subject);
    for (const consumer of [one, other]) {
      await consumer.waitFor(3);
      await waitForStatus(consumer.id, 'skipped', 1);
      assert.deepEqual(
        subjectsOf(consumer.received).filter((subject) => subject === 'same'),
        ['same'],
      );
    }
  });

  test('of many that come at once lets one through', async () => {
    await using consumer = await addConsumer(service, undefined, { rules });
    const items = Array.from({ length: 50 }, () =>
      gmailItem(`18e${(++mails).toString(16)}`, mailOf('Flood')),
    );
    assert.equal((await service.push(source, batch(items))).status, 200);
    await waitForStatus(consumer.id, 'skipped', 49);
    assert.equal(consumer.received.length, 1);
  });
});
