import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { addConsumer } from '../support/deliveries.ts';
import { waitUntil } from '../support/embedded-place.ts';
import { expired, slow } from '../support/gmail/faults.ts';
import { createPushDriver } from '../support/gmail/push-driver.ts';
import { startPushTokens } from '../support/push-tokens.ts';
import { addSource, batch, gmailItem, mailOf } from '../support/service.ts';
import { addGmailSource, all, storedIds } from './gmail-service.ts';
import { historyCalls, lookAt, openService, openWorld, sourceOf, untilFree } from './stage.ts';

const names = ['ada', 'bob', 'cy', 'dan', 'eve', 'fay', 'gil', 'hal', 'ian'] as const;
const [ada, bob, cy, dan, eve, fay, gil, hal, ian] = names.map((name) => `${name}@example.com`) as [
  string,
  string,
  string,
  string,
  string,
  string,
  string,
  string,
  string,
];
const world = await openWorld({ accounts: [ada, bob, cy, dan, eve, fay, gil, hal, ian] });
const tokens = await startPushTokens();
after(() => tokens[Symbol.asyncDispose]());
const { service, sql } = await openService(world, {
  pubsub: {
    ...tokens.options,
  },
  stubWaitsMs: [50, 50],
});
const driver = createPushDriver({ url: `${service.address}/v1/ingest/pubsub`, tokens });
after(() => driver.close());
world.pushTo((account, historyId) => driver.publish(account, historyId));

/** A source that is watched and has had its first look. */
async function addWatched(account: string, settings: Record<string, unknown> = {}) {
  const source = await addGmailSource(service, world, account, settings);
  await untilFree(sql, source.id);
  return source;
}

test('a push becomes a webhook, with no call but one for history and one for the mail', async () => {
  const source = await addWatched(ada);
  await using consumer = await addConsumer(service);
  world.ledger.clear();
  const mail = await world.deliver(ada, { subject: 'Straight through' });
  const [received] = await consumer.waitFor(1);
  const { type, data } = JSON.parse(received?.body ?? '');
  assert.equal(type, 'message.received');
  assert.equal(data.subject, 'Straight through');
  assert.equal(data.providerId, mail.id);
  assert.equal(data.threadId, mail.threadId);
  assert.equal(data.source.kind, 'gmail');
  assert.equal(data.placement, 'inbox');
  await driver.drained();
  await untilFree(sql, source.id);
  assert.deepEqual(
    world.ledger.entries.slice(0, 2).map(({ name }) => name),
    ['history.list', 'messages.get'],
  );
  assert.equal(world.ledger.count({ name: 'messages.get' }), 1);
  // To the last of its 21 digits.
  assert.equal((await sourceOf(service, source.id)).cursor, mail.historyId);
});

test('a hundred hints that come during a look are one more look', async () => {
  const source = await addWatched(bob);
  world.ledger.clear();
  const remove = world.fail({ name: 'history.list', account: bob }, slow(400));
  const mail = await world.deliver(bob);
  await waitUntil('the look is under way', () => world.ledger.count({ name: 'history.list' }) === 1);
  const startedMs = performance.now();
  for (let index = 0; index < 100; index++) driver.publish(bob, mail.historyId);
  await driver.drained();
  // Each look takes 400 ms: as long as hints come, the one under way does not cover those behind it.
  const least = 1 + Math.ceil((performance.now() - startedMs) / 400);
  await waitUntil('the mail is stored', async () => (await storedIds(service, source.mailboxId)).length > 0);
  await untilFree(sql, source.id);
  remove();
  assert.deepEqual(await storedIds(service, source.mailboxId), [mail.id]);
  const looks = historyCalls(world, bob).length;
  assert.ok(looks <= least + 1, `${looks} looks for 101 hints, and not ${least}`);
  assert.equal(world.ledger.count({ name: 'messages.get' }), 1);
});

test('two tenants that have one account each get its mail, and it is watched once', async () => {
  const one = await addWatched(cy, { tenant: 'one' });
  const two = await addWatched(cy, { tenant: 'two' });
  const mail = await world.deliver(cy);
  for (const { mailboxId } of [one, two]) {
    await waitUntil('it is stored', async () => (await storedIds(service, mailboxId)).length === 1);
    assert.deepEqual(await storedIds(service, mailboxId), [mail.id]);
  }
  assert.equal(world.ledger.count({ name: 'watch', account: cy }), 1);
  const modes = await Promise.all([one, two].map(async ({ id }) => (await sourceOf(service, id)).mode));
  assert.deepEqual(modes, ['push', 'push']);
});

test('what counts as mail that came in is judged by the labels of the mail', async () => {
  const source = await addWatched(dan);
  const kept = [
    await world.deliver(dan, { labelIds: ['SPAM'] }),
    await world.deliver(dan, { labelIds: ['SENT', 'INBOX'] }),
    // A filter moved it before anyone could see it in the inbox.
    await world.deliver(dan, { labelIds: ['CATEGORY_UPDATES'] }),
    await world.deliver(dan, { labelIds: ['INBOX', 'CATEGORY_PROMOTIONS'] }),
  ];
  await world.deliver(dan, { labelIds: ['SENT'] });
  await world.deliver(dan, { labelIds: ['DRAFT'] });
  const last = await world.deliver(dan, { labelIds: ['DRAFT', 'INBOX'] });
  await driver.drained();
  await waitUntil('all of history is read', async () => {
    return (await sourceOf(service, source.id)).cursor === last.historyId;
  });
  await untilFree(sql, source.id);
  assert.deepEqual(await storedIds(service, source.mailboxId), kept.map(({ id }) => id).sort());
  const messages = await all(service, `/v1/messages?mailbox=${source.mailboxId}`);
  const placements = new Map(messages.map(({ providerId, placement }) => [providerId, placement]));
  assert.equal(placements.get(kept[0]?.id), 'spam');
  assert.equal(placements.get(kept[3]?.id), 'promotions');
  const { lag, counts } = await sourceOf(service, source.id);
  assert.deepEqual([lag, counts], [0, { failed: 0, missing: 0, openGaps: 0 }]);
});

test('sent mail comes where it is wished for, a draft does not', async () => {
  const source = await addWatched(eve, { settings: { sent: true } });
  await world.deliver(eve, { labelIds: ['DRAFT'] });
  const sent = await world.deliver(eve, { labelIds: ['SENT'] });
  await waitUntil('it is stored', async () => (await storedIds(service, source.mailboxId)).length > 0);
  await lookAt(sql, source.id);
  assert.deepEqual(await storedIds(service, source.mailboxId), [sent.id]);
  const [message] = await all(service, `/v1/messages?mailbox=${source.mailboxId}`);
  assert.equal(message.placement, 'sent');
});

test('a mail that is gone when it is fetched is recorded, and in the way of none', async () => {
  const source = await addWatched(fay);
  await service.api('POST', `/v1/sources/${source.id}/stop`);
  const gone = await world.deliver(fay);
  const stays = await world.deliver(fay);
  await world.remove(fay, gone.id);
  await service.api('POST', `/v1/sources/${source.id}/start`);
  await waitUntil('it is known to be gone', async () => {
    return (await sourceOf(service, source.id)).counts.missing === 1;
  });
  assert.deepEqual(await storedIds(service, source.mailboxId), [stays.id]);
  const [stub, ...others] = await all(service, `/v1/sources/${source.id}/stubs`);
  assert.deepEqual(others, []);
  assert.equal(stub.providerId, gone.id);
  assert.equal(stub.status, 'missing');
  assert.equal((await sourceOf(service, source.id)).state, 'idle');
  // Looked for once more a moment later: what history has just named may not be there yet.
  assert.equal(world.ledger.count({ name: 'messages.get', messageId: gone.id }), 2);
});

test('a mail that is there a moment later only is no missing one', async () => {
  const source = await addWatched(gil);
  world.fail({ name: 'messages.get', account: gil }, expired());
  const mail = await world.deliver(gil);
  await waitUntil('it is stored', async () => (await storedIds(service, source.mailboxId)).length === 1);
  assert.deepEqual(await storedIds(service, source.mailboxId), [mail.id]);
  assert.deepEqual(await all(service, `/v1/sources/${source.id}/stubs`), []);
});

test('a mail that the script brought already is not fetched', async () => {
  const script = await addSource(service, 'apps-script', hal);
  const { body: source } = await service.api('POST', `/v1/mailboxes/${script.mailboxId}/sources`, {
    kind: 'gmail',
    auth: { type: 'oauth', refreshToken: world.refreshToken(hal) },
  });
  await untilFree(sql, source.id);
  await service.api('POST', `/v1/sources/${source.id}/stop`);
  const pushed = await world.deliver(hal);
  const other = await world.deliver(hal);
  const response = await service.push(script, batch([gmailItem(pushed.id, mailOf('Pushed'))]));
  assert.equal(response.status, 200);
  await service.api('POST', `/v1/sources/${source.id}/start`);
  await waitUntil('the other is stored', async () => {
    return (await storedIds(service, script.mailboxId)).length === 2;
  });
  assert.deepEqual(await storedIds(service, script.mailboxId), [pushed.id, other.id].sort());
  assert.equal(world.ledger.count({ name: 'messages.get', messageId: pushed.id }), 0);
});

test('a push that is ahead of history is looked at again a moment later', async () => {
  const source = await addWatched(ian);
  world.lagHistory(ian, 1500);
  world.ledger.clear();
  const mail = await world.deliver(ian);
  await waitUntil('it is stored', async () => (await storedIds(service, source.mailboxId)).length === 1);
  world.lagHistory(ian, 0);
  assert.deepEqual(await storedIds(service, source.mailboxId), [mail.id]);
  const looks = world.ledger.entries.filter(({ name }) => name === 'history.list');
  assert.equal(looks.length, 2);
  const waitedMs = (looks[1]?.atMs ?? 0) - (looks[0]?.atMs ?? 0);
  assert.ok(waitedMs >= 3000, `looked again after ${waitedMs} ms`);
});
