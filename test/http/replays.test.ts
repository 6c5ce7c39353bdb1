import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import postgres, { type Sql } from 'postgres';
import { replaySchema } from '../../src/core/resources.ts';
import { addConsumer, addDue } from '../support/deliveries.ts';
import { waitUntil } from '../support/embedded-place.ts';
import {
  ADMIN_TOKEN,
  type Answer,
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
let one: PushSource & { mailboxId: string };
let other: PushSource & { mailboxId: string };
let sql: Sql;
const LONG_AGO = '2020-01-01T00:00:00Z';
/** Before the first mails here, between them and the next ones. */
let between: string;
before(async () => {
  service = await startTestService({ random: () => 0.5 });
  sql = postgres(service.databaseUrl, { max: 2, onnotice: () => {} });
  one = await addSource(service);
  other = await addSource(service);
  await pushMails(one, ['a1', 'a2', 'a3']);
  const [row] = await sql`SELECT clock_timestamp() AS at`;
  between = new Date(row?.at.getTime() + 1).toISOString();
  await waitUntil('the clock is past it', async () => {
    const [now] = await sql`SELECT clock_timestamp() > ${between}::timestamptz AS "isPast"`;
    return now?.isPast;
  });
  await pushMails(other, ['b1', 'b2']);
});
after(async () => {
  await sql.end();
  await service.dispose();
});

let mails = 0;
async function pushMails(source: PushSource, subjects: string[]): Promise<void> {
  const items = subjects.map((subject) => gmailItem(`19a${(++mails).toString(16)}`, mailOf(subject)));
  assert.equal((await service.push(source, batch(items))).status, 200);
}

const subjectsOf = (received: { body: string }[]) =>
  received.map(({ body }) => JSON.parse(body).data.subject).sort();

async function replay(endpointId: string, body: Record<string, unknown>): Promise<Answer['body']> {
  const answer = await service.api('POST', `/v1/endpoints/${endpointId}/replay`, body);
  assert.equal(answer.status, 202, JSON.stringify(answer.body));
  return answer.body;
}

async function replayIn(id: string, status: string): Promise<Answer['body']> {
  let found: Answer['body'];
  await waitUntil(`the replay is ${status}`, async () => {
    found = (await service.api('GET', `/v1/replays/${id}`)).body;
    return found.status === status;
  });
  return found;
}

describe('a replay', () => {
  test('sends what was before the endpoint existed, under the ids of then, and tells how far it is', async () => {
    await using consumer = await addConsumer(service);
    const made = await replay(consumer.id, { since: LONG_AGO });
    assert.match(made.id, /^rpl_[0-9a-f]{32}$/);
    assert.deepEqual(replaySchema.strict().parse(made), made);
    assert.deepEqual([made.total, made.sent, made.status, made.endpointId], [5, 0, 'running', consumer.id]);
    await consumer.waitFor(5);
    assert.deepEqual(subjectsOf(consumer.received), ['a1', 'a2', 'a3', 'b1', 'b2']);
    let events: { id: string }[] = [];
    // Transactions of other tests in the cluster hold the log back for a moment.
    await waitUntil('the log has them', async () => {
      events = (await service.api('GET', '/v1/events?types=message.received')).body.data;
      return events.length >= 5;
    });
    assert.deepEqual(
      consumer.received.map(({ headers }) => headers['webhook-id']).sort(),
      events.map(({ id }: { id: string }) => id).sort(),
    );
    const done = await replayIn(made.id, 'completed');
    assert.deepEqual([done.queued, done.sent, done.skipped, done.failed], [5, 5, 0, 0]);
    assert.ok(done.completedAt >= done.createdAt);
    const list = (await service.api('GET', `/v1/replays?endpoint=${consumer.id}`)).body.data;
    assert.deepEqual(list, [done]);
    const deliveries = (await service.api('GET', `/v1/deliveries?endpoint=${consumer.id}`)).body.data;
    assert.ok(deliveries.every(({ replayId }: { replayId: string }) => replayId === made.id));
  });

  test('sends again what was sent, as often as it is asked for', async () => {
    await using consumer = await addConsumer(service);
    for (const times of [1, 2]) {
      const { id } = await replay(consumer.id, { since: between });
      assert.equal((await replayIn(id, 'completed')).sent, 2);
      assert.equal(consumer.received.length, 2 * times);
    }
    assert.equal(new Set(consumer.received.map(({ headers }) => headers['webhook-id'])).size, 2);
  });

  for (const [name, body, subjects] of [
    ['a time on', () => ({ since: between }), ['b1', 'b2']],
    ['a time to another', () => ({ since: LONG_AGO, until: between }), ['a1', 'a2', 'a3']],
    ['one mailbox', () => ({ since: LONG_AGO, mailbox: other.mailboxId }), ['b1', 'b2']],
    ['nothing', () => ({ since: LONG_AGO, until: '2020-01-02T00:00:00Z' }), []],
  ] as const)
    test(`is of ${name}`, async () => {
      await using consumer = await addConsumer(service);
      const made = await replay(consumer.id, body());
      assert.equal(made.total, subjects.length);
      assert.equal((await replayIn(made.id, 'completed')).sent, subjects.length);
      assert.deepEqual(subjectsOf(consumer.received), subjects);
    });

  test('is of the types and the tenant of the endpoint', async () => {
    for (const settings of [{ types: ['gap.opened'] }, { tenant: 'another' }]) {
      await using consumer = await addConsumer(service, undefined, settings);
      assert.equal((await replay(consumer.id, { since: LONG_AGO })).total, 0);
    }
  });

  test('minds the rules, unless it is told not to', async () => {
    await using consumer = await addConsumer(service, undefined, { rules: { subjectContains: ['a2'] } });
    const minding = await replay(consumer.id, { since: LONG_AGO });
    const { sent, skipped } = await replayIn(minding.id, 'completed');
    assert.deepEqual([sent, skipped, subjectsOf(consumer.received)], [1, 4, ['a2']]);
    const ignoring = await replay(consumer.id, { since: LONG_AGO, ignoreRules: true });
    assert.equal((await replayIn(ignoring.id, 'completed')).sent, 5);
  });

  test('queues some hundreds at a time, and cancelled it sends no more', async () => {
    const answers: (() => void)[] = [];
    await using consumer = await addConsumer(
      service,
      (response) => void answers.push(() => response.writeHead(204).end()),
      { types: ['gap.opened'], maxInFlight: 4 },
    );
    await sql`
      INSERT INTO events (id, type, tenant, data)
      SELECT mailgress_uuidv7(), 'gap.opened', 'default', '{}' FROM generate_series(1, 2000)`;
    const { id, total } = await replay(consumer.id, { since: LONG_AGO });
    assert.equal(total, 2000);
    await consumer.waitFor(4);
    await waitUntil('its window is full', async () => (await replayIn(id, 'running')).queued >= 500);
    assert.ok((await replayIn(id, 'running')).queued <= 510);

    const cancelled = await service.api('DELETE', `/v1/replays/${id}`);
    assert.deepEqual([cancelled.status, cancelled.body.status], [200, 'cancelled']);
    for (const answer of answers.splice(0)) answer();
    await waitUntil('those under way are recorded', async () => (await replayIn(id, 'cancelled')).sent === 4);
    const { queued, skipped } = await replayIn(id, 'cancelled');
    assert.equal(queued - skipped, 4);
    assert.equal(consumer.received.length, 4);
    assert.equal((await service.api('DELETE', `/v1/replays/${id}`)).body.status, 'cancelled');
    await sql`DELETE FROM events WHERE type = 'gap.opened'`;
  });

  test('has nothing of messages that were deleted', async () => {
    const another = await addSource(service);
    await pushMails(another, ['c1', 'c2']);
    const { body } = await service.api('GET', `/v1/messages?mailbox=${another.mailboxId}`);
    await service.api('DELETE', `/v1/messages/${body.data[0].id}`);
    await using consumer = await addConsumer(service);
    const made = await replay(consumer.id, { since: LONG_AGO, mailbox: another.mailboxId });
    const { queued, sent, failed } = await replayIn(made.id, 'completed');
    assert.deepEqual([made.total, queued, sent, failed], [1, 1, 1, 0]);
    await service.api('DELETE', `/v1/mailboxes/${another.mailboxId}`);
  });

  test('of more than fit its window at once comes to its end, without one too many', async () => {
    await using consumer = await addConsumer(service, undefined, { types: ['gap.opened'] });
    await sql`
      INSERT INTO events (id, type, tenant, data)
      SELECT mailgress_uuidv7(), 'gap.opened', 'default', '{}' FROM generate_series(1, 1300)`;
    const { id } = await replay(consumer.id, { since: LONG_AGO });
    const { queued, sent } = await replayIn(id, 'completed');
    assert.deepEqual([queued, sent, consumer.received.length], [1300, 1300, 1300]);
    assert.equal(new Set(consumer.received.map(({ headers }) => headers['webhook-id'])).size, 1300);
    await sql`DELETE FROM events WHERE type = 'gap.opened'`;
  });

  test('that was cancelled is for what is asked for by hand no reason not to send it', async () => {
    const answers: (() => void)[] = [];
    let isHolding = true;
    await using consumer = await addConsumer(
      service,
      (response) => {
        if (isHolding) answers.push(() => response.writeHead(500).end());
        else response.writeHead(204).end();
      },
      { maxInFlight: 1, rules: { subjectContains: ['a'] } },
    );
    const { id } = await replay(consumer.id, { since: LONG_AGO });
    await consumer.waitFor(1);
    const of = async (status: string) =>
      (await service.api('GET', `/v1/deliveries?endpoint=${consumer.id}&status=${status}`)).body.data;
    const [underWay] = (await of('pending')).filter((one: Answer['body']) => one.nextAttemptAt === null);
    await service.api('DELETE', `/v1/replays/${id}`);
    const [skipped] = (await of('skipped')).filter((one: Answer['body']) => one.rule === 'cancelled');

    // One that waited, and the one that is under way and fails.
    for (const one of [skipped, underWay]) {
      assert.equal((await service.api('POST', `/v1/deliveries/${one.id}/retry`)).status, 202);
    }
    isHolding = false;
    for (const answer of answers.splice(0)) answer();
    await waitUntil('the waiting one is sent', async () => (await of('succeeded')).length === 1);
    assert.equal((await of('succeeded'))[0].id, skipped.id);
    await waitUntil('the other one waits', async () => (await of('pending'))[0]?.attemptCount === 1);
    await sql`UPDATE deliveries SET next_attempt_at = now() WHERE id = ${underWay.id.slice(4)}`;
    await waitUntil('both are sent', async () => (await of('succeeded')).length === 2);
  });

  test('up to now is up to the clock of the database', async (t) => {
    await using consumer = await addConsumer(service);
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() - 3_600_000 });
    const { total } = await replay(consumer.id, { since: LONG_AGO });
    t.mock.timers.reset();
    assert.equal(total, 5);
  });

  test('is not when it is of nothing that can be', async () => {
    await using consumer = await addConsumer(service);
    for (const [body, path] of [
      [{}, 'since'],
      [{ since: 'yesterday' }, 'since'],
      [{ since: LONG_AGO, until: LONG_AGO }, 'until'],
      [{ since: LONG_AGO, mailbox: 'all' }, 'mailbox'],
      [{ since: LONG_AGO, ignoreRules: 'yes' }, 'ignoreRules'],
      [{ since: LONG_AGO, from: LONG_AGO }, ''],
    ] as const) {
      const response = await fetch(`${service.address}/v1/endpoints/${consumer.id}/replay`, {
        method: 'POST',
        headers: { authorization: `Bearer ${ADMIN_TOKEN}`, 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
      assert.deepEqual(faultPaths(await expectProblem(response, 400, 'bad_request')), [path]);
    }
    const nobody = `ep_${'0'.repeat(32)}`;
    assert.equal(
      (await service.api('POST', `/v1/endpoints/${nobody}/replay`, { since: LONG_AGO })).status,
      404,
    );
    for (const id of [`rpl_${'0'.repeat(32)}`, 'rpl_1', consumer.id]) {
      assert.equal((await service.api('GET', `/v1/replays/${id}`)).status, 404);
      assert.equal((await service.api('DELETE', `/v1/replays/${id}`)).status, 404);
    }
  });
});

describe('a retry of all that failed', () => {
  test('is of what was given up since then, once more', async () => {
    await using consumer = await addConsumer(service);
    await service.api('POST', `/v1/endpoints/${consumer.id}/disable`);
    await addDue(sql, consumer.id, 30);
    const ep = consumer.id.slice(3);
    await sql`UPDATE deliveries SET status = 'failed', completed_at = now() - interval '1 hour' WHERE endpoint_id = ${ep}`;
    await sql`
      UPDATE deliveries SET completed_at = now() - interval '1 day'
      WHERE id IN (SELECT id FROM deliveries WHERE endpoint_id = ${ep} LIMIT 10)`;
    await service.api('POST', `/v1/endpoints/${consumer.id}/enable`);
    const since = new Date(Date.now() - 2 * 3_600_000).toISOString();
    const path = `/v1/endpoints/${consumer.id}/retry`;
    assert.deepEqual(await service.api('POST', path, { since }), { status: 202, body: { retried: 20 } });
    await consumer.waitFor(20);
    await waitUntil('they are recorded', async () => {
      const { body } = await service.api('GET', `/v1/deliveries?endpoint=${consumer.id}&status=succeeded`);
      return body.data.length === 20;
    });
    assert.deepEqual((await service.api('POST', path, { since })).body, { retried: 0 });
    assert.equal((await service.api('POST', path, {})).status, 400);
    assert.equal(
      (await service.api('POST', `/v1/endpoints/ep_${'0'.repeat(32)}/retry`, { since })).status,
      404,
    );
  });

  test('is by the clock of the database', async (t) => {
    await using consumer = await addConsumer(service);
    await service.api('POST', `/v1/endpoints/${consumer.id}/disable`);
    await addDue(sql, consumer.id, 1);
    await sql`UPDATE deliveries SET status = 'failed', completed_at = now() WHERE endpoint_id = ${consumer.id.slice(3)}`;
    const since = new Date(Date.now() - 2 * 3_600_000).toISOString();
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() - 3_600_000 });
    const { body } = await service.api('POST', `/v1/endpoints/${consumer.id}/retry`, { since });
    t.mock.timers.reset();
    assert.deepEqual(body, { retried: 1 });
  });

  test('is nothing of a replay that was cancelled', async () => {
    await using consumer = await addConsumer(service);
    await service.api('POST', `/v1/endpoints/${consumer.id}/disable`);
    const { id } = await replay(consumer.id, { since: LONG_AGO });
    await waitUntil('it is queued', async () => (await replayIn(id, 'running')).queued === 5);
    await sql`UPDATE deliveries SET status = 'failed', completed_at = now() WHERE replay_id = ${id.slice(4)}`;
    await sql`UPDATE replays SET status = 'cancelled' WHERE id = ${id.slice(4)}`;
    const { body } = await service.api('POST', `/v1/endpoints/${consumer.id}/retry`, { since: LONG_AGO });
    assert.deepEqual(body, { retried: 0 });
  });
});
