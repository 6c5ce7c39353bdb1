import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitUntil } from '../support/embedded-place.ts';
import { noTopicRights, serverError, slow } from '../support/gmail/faults.ts';
import { addGmailSource, TOPIC } from './gmail-service.ts';
import { eventsOf, lookAt, makeDue, openService, openWorld, sourceOf, untilFree } from './stage.ts';

const names = ['ada', 'bob', 'cy', 'dan', 'eve', 'fay', 'gil'] as const;
const [ada, bob, cy, dan, eve, fay, gil] = names.map((name) => `${name}@example.com`) as [
  string,
  string,
  string,
  string,
  string,
  string,
  string,
];
const world = await openWorld({ accounts: [ada, bob, cy, dan, eve, fay, gil] });
const { service, sql } = await openService(world);

const watches = (account: string) => world.ledger.count({ name: 'watch', account });
const stops = (account: string) => world.ledger.count({ name: 'stop', account });

async function watchOf(account: string) {
  const [row] = await sql`
    SELECT expires_at AS "expiresAt", failures, error, extract(epoch FROM due_at - now())::float AS "dueInS"
    FROM gmail_watches WHERE account = ${account}`;
  return row;
}

/** What the passing of a day does. */
async function ageWatch(account: string, leftHours = 144): Promise<void> {
  await sql`
    UPDATE gmail_watches SET due_at = now(), expires_at = now() + ${leftHours}::int * interval '1 hour'
    WHERE account = ${account}`;
}

test('a watch is renewed when it is due, and not before', async () => {
  const { id } = await addGmailSource(service, world, ada);
  await untilFree(sql, id);
  assert.equal(watches(ada), 1);
  const first = await watchOf(ada);
  assert.ok(first?.dueInS > 0.89 * 86_400 && first?.dueInS <= 86_400, `due in ${first?.dueInS} s`);
  await lookAt(sql, id);
  assert.equal(watches(ada), 1);
  await ageWatch(ada);
  await lookAt(sql, id);
  assert.equal(watches(ada), 2);
  const renewed = await watchOf(ada);
  assert.equal(renewed?.expiresAt.getTime(), world.watchedUntilMs(ada));
  assert.deepEqual(await eventsOf(service, id, 'source.state_changed'), []);
});

test('the history id of a watch is never adopted', async () => {
  const { id } = await addGmailSource(service, world, bob);
  await untilFree(sql, id);
  const { cursor } = await sourceOf(service, id);
  await ageWatch(bob);
  // Comes between the look's beginning and its history: the watch already names its id.
  const remove = world.addHook(async ({ name, account }, moment) => {
    if (name !== 'watch' || account !== bob || moment !== 'asked') return;
    remove();
    await world.deliver(bob);
    world.lagHistory(bob, 60_000);
  });
  await lookAt(sql, id);
  world.lagHistory(bob, 0);
  assert.equal(watches(bob), 2);
  assert.equal((await sourceOf(service, id)).cursor, cursor);
});

test('failures are no alarm while the watch lives on for long, and one under 48 hours', async () => {
  const { id } = await addGmailSource(service, world, cy);
  await untilFree(sql, id);
  const remove = world.fail({ name: 'watch', account: cy }, serverError(), Number.POSITIVE_INFINITY);
  for (const [index, minutes] of [5, 10, 20].entries()) {
    await ageWatch(cy);
    await lookAt(sql, id);
    const watch = await watchOf(cy);
    assert.equal(watch?.failures, index + 1);
    assert.ok(Math.abs(watch?.dueInS - minutes * 60) < 10, `due in ${watch?.dueInS} s`);
  }
  assert.equal((await sourceOf(service, id)).state, 'idle');

  await ageWatch(cy, 47);
  await lookAt(sql, id);
  const alarmed = await sourceOf(service, id);
  assert.equal(alarmed.state, 'error');
  assert.match(alarmed.reason, /has a watch that ends at .*503/);
  // It is read all the same, as often as without a watch.
  const mail = await world.deliver(cy);
  await lookAt(sql, id);
  assert.equal((await sourceOf(service, id)).cursor, mail.historyId);
  const waitMs = Date.parse((await sourceOf(service, id)).nextAttemptAt) - Date.now();
  assert.ok(waitMs <= 60_000, `the next look is in ${waitMs} ms`);

  remove();
  await ageWatch(cy, 47);
  await lookAt(sql, id);
  assert.equal((await sourceOf(service, id)).state, 'idle');
  const told = await eventsOf(service, id, 'source.state_changed');
  assert.deepEqual(
    told.map(({ data }) => [data.previous, data.source.state, data.reason]),
    [
      ['idle', 'error', alarmed.reason],
      ['error', 'idle', null],
    ],
  );
});

test('a topic without rights is told of with the right that is missing', async () => {
  const remove = world.fail({ name: 'watch', account: dan }, noTopicRights(TOPIC), Number.POSITIVE_INFINITY);
  const { id } = await addGmailSource(service, world, dan);
  await waitUntil('it is told', async () => (await eventsOf(service, id, 'source.state_changed')).length > 0);
  remove();
  const [{ data }] = await eventsOf(service, id, 'source.state_changed');
  assert.equal(data.source.state, 'error');
  for (const part of [/gmail-api-push@system\.gserviceaccount\.com/, /Publisher/, /has no watch/]) {
    assert.match(data.reason, part);
  }
  assert.equal((await sourceOf(service, id)).mode, 'poll');
});

test('a watch ends with the last source that needs it, stopped or deleted', async () => {
  const one = await addGmailSource(service, world, eve, { tenant: 'one' });
  const two = await addGmailSource(service, world, eve, { tenant: 'two' });
  const three = await addGmailSource(service, world, eve, { tenant: 'three' });
  for (const { id } of [one, two, three]) await untilFree(sql, id);
  assert.equal(watches(eve), 1);
  await service.api('POST', `/v1/sources/${one.id}/stop`);
  await service.api('DELETE', `/v1/sources/${two.id}`);
  assert.notEqual(await watchOf(eve), undefined);
  assert.equal(stops(eve), 0);
  await service.api('DELETE', `/v1/mailboxes/${three.mailboxId}`);
  await waitUntil('the watch has ended', () => stops(eve) === 1 && world.watchedUntilMs(eve) === undefined);
  await waitUntil('it is forgotten', async () => (await watchOf(eve)) === undefined);

  await service.api('POST', `/v1/sources/${one.id}/start`);
  await waitUntil('there is one again', () => world.watchedUntilMs(eve) !== undefined);
  assert.equal(watches(eve), 2);
});

test('a source that is started again while its watch is being ended has one in the end', async () => {
  const { id } = await addGmailSource(service, world, fay);
  await untilFree(sql, id);
  const remove = world.fail({ name: 'stop', account: fay }, slow(300));
  await service.api('POST', `/v1/sources/${id}/stop`);
  await service.api('POST', `/v1/sources/${id}/start`);
  await waitUntil('the watch was ended', () => {
    return world.ledger.entries.some(({ name, account, status }) => {
      return name === 'stop' && account === fay && status !== undefined;
    });
  });
  await waitUntil('it is watched', () => world.watchedUntilMs(fay) !== undefined);
  await untilFree(sql, id);
  remove();
  const watch = await watchOf(fay);
  assert.equal(watch?.expiresAt?.getTime(), world.watchedUntilMs(fay));
});

test('a watch that cannot be ended is left to its end', async () => {
  const { id } = await addGmailSource(service, world, gil);
  await untilFree(sql, id);
  const remove = world.fail({ name: 'stop', account: gil }, serverError());
  const { status } = await service.api('DELETE', `/v1/sources/${id}`);
  assert.equal(status, 204);
  await waitUntil('it was tried', () => stops(gil) === 1);
  await waitUntil('it is forgotten', async () => (await watchOf(gil)) === undefined);
  remove();
});

test('without a topic nothing is watched, and each minute has a look', async () => {
  const { service: polling, sql: pollingSql } = await openService(world, { env: { GMAIL_TOPIC: '' } });
  world.ledger.clear();
  const { id } = await addGmailSource(polling, world, ada);
  await untilFree(pollingSql, id);
  assert.equal(watches(ada), 0);
  const { nextAttemptAt, mode } = await sourceOf(polling, id);
  const waitMs = Date.parse(nextAttemptAt) - Date.now();
  assert.ok(waitMs > 40_000 && waitMs <= 60_000, `the next look is in ${waitMs} ms`);
  assert.equal(mode, 'poll');
  const mail = await world.deliver(ada);
  await makeDue(pollingSql, id);
  await waitUntil('it is read', async () => (await sourceOf(polling, id)).cursor === mail.historyId);
});
