import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Id, uuidOf } from '../../src/core/ids.ts';
import { addConsumer } from '../support/deliveries.ts';
import { waitUntil } from '../support/embedded-place.ts';
import { expired, pageTokenExpired, serverError, slow } from '../support/gmail/faults.ts';
import { addGmailSource, all, storedIds } from './gmail-service.ts';
import { eventsOf, lookAt, openService, openWorld, sourceOf, untilFree } from './stage.ts';

const PAGE = 5;
const HOUR_MS = 3_600_000;
const names = ['ada', 'bob', 'cy', 'dan', 'eve', 'fay', 'gil', 'hal'] as const;
const [ada, bob, cy, dan, eve, fay, gil, hal] = names.map((name) => `${name}@example.com`) as [
  string,
  string,
  string,
  string,
  string,
  string,
  string,
  string,
];
const world = await openWorld({ accounts: [ada, bob, cy, dan, eve, fay, gil, hal], largestPage: PAGE });
const { service, sql, restart } = await openService(world, { stubWaitsMs: [20, 20] });

/** A source that was stopped while mail came, a day old, and whose history no longer reaches back to it. */
async function addExpired(account: string, count: number) {
  const source = await addGmailSource(service, world, account);
  await sql`UPDATE sources SET created_at = now() - interval '1 day' WHERE id = ${uuidOf(source.id)}`;
  await untilFree(sql, source.id);
  await service.api('POST', `/v1/sources/${source.id}/stop`);
  const { cursor } = await sourceOf(service, source.id);
  const mails = [];
  for (let index = 0; index < count; index++) mails.push(await world.deliver(account));
  await world.expireHistory(account);
  world.ledger.clear();
  return { ...source, cursor, ids: mails.map(({ id }) => id).sort() };
}

const start = (id: string) => service.api('POST', `/v1/sources/${id}/start`);
const gapsOf = (id: string) => all(service, `/v1/gaps?source=${id}`);
const untilFilled = (id: string) =>
  waitUntil('its gaps are filled', async () => {
    const gaps = await gapsOf(id);
    return gaps.length > 0 && gaps.every(({ recoveredAt }) => recoveredAt !== null);
  });

/** After a look that failed. */
const untilWaiting = (id: Id<'src'>) =>
  waitUntil('it waits', async () => {
    const [row] = await sql`
      SELECT failures > 0 AND due_at > now() AND lease_until IS NULL AS waits FROM sources
      WHERE id = ${uuidOf(id)}`;
    return row?.waits;
  });

test('expired history is a gap: told of, filled through the list, told of again', async () => {
  await using consumer = await addConsumer(service, undefined, { types: ['gap.opened', 'gap.recovered'] });
  const source = await addExpired(ada, 2 * PAGE + 2);
  const newest = await world.historyId(ada);
  const before = await sourceOf(service, source.id);
  const [{ synced_at: syncedAt } = {}] =
    await sql`SELECT synced_at FROM sources WHERE id = ${uuidOf(source.id)}`;
  await start(source.id);
  const received = (await consumer.waitFor(2)).map(({ body }) => JSON.parse(body));
  assert.deepEqual(await storedIds(service, source.mailboxId), source.ids);

  const [gap, ...others] = await gapsOf(source.id);
  assert.deepEqual(others, []);
  assert.equal(gap.reason, 'history_expired');
  assert.equal(gap.from, before.cursor);
  assert.ok(BigInt(gap.to) >= BigInt(newest));
  assert.equal(Date.parse(gap.since), syncedAt.getTime() - HOUR_MS);
  assert.equal(gap.recoveredBy, 'search');
  assert.equal(gap.listed, source.ids.length);
  assert.equal(gap.recovered, source.ids.length);
  assert.deepEqual(
    received.map(({ type, data }) => [type, data.gap.id, data.gap.reason, data.gap.recovered]),
    [
      ['gap.opened', gap.id, 'history_expired', 0],
      ['gap.recovered', gap.id, 'history_expired', source.ids.length],
    ],
  );
  assert.deepEqual(received[1].data.gap, gap);
  assert.equal(world.ledger.count({ name: 'messages.list' }), 3);
  assert.equal(world.ledger.count({ name: 'messages.get' }), source.ids.length);

  // History goes on where the profile said that the mailbox is.
  await untilFree(sql, source.id);
  const next = await world.deliver(ada);
  await lookAt(sql, source.id);
  assert.equal((await sourceOf(service, source.id)).cursor, next.historyId);
  assert.deepEqual(await storedIds(service, source.mailboxId), [...source.ids, next.id].sort());
  assert.deepEqual(await all(service, `/v1/gaps?source=${source.id}&open=true`), []);
});

test('mail that was stored before is not fetched for a gap, and not counted', async () => {
  const source = await addGmailSource(service, world, bob);
  const known = await world.deliver(bob);
  await lookAt(sql, source.id);
  await service.api('POST', `/v1/sources/${source.id}/stop`);
  const missed = await world.deliver(bob);
  await world.expireHistory(bob);
  world.ledger.clear();
  await start(source.id);
  await untilFilled(source.id);
  assert.deepEqual(await storedIds(service, source.mailboxId), [known.id, missed.id].sort());
  assert.equal(world.ledger.count({ name: 'messages.get', messageId: known.id }), 0);
  const [gap] = await gapsOf(source.id);
  assert.deepEqual([gap.listed, gap.recovered], [2, 1]);
});

test('a gap is filled to its end by who starts after the process that began it', async () => {
  const source = await addExpired(cy, 4 * PAGE);
  const remove = world.addRule(({ name }) => (name === 'messages.get' ? slow(20) : undefined));
  await start(source.id);
  await waitUntil('a part of it is stored', async () => {
    return (await storedIds(service, source.mailboxId)).length > PAGE;
  });
  await restart();
  remove();
  await untilFilled(source.id);
  assert.deepEqual(await storedIds(service, source.mailboxId), source.ids);
  const [gap, ...others] = await gapsOf(source.id);
  assert.deepEqual(others, []);
  assert.deepEqual([gap.listed, gap.recovered], [4 * PAGE, 4 * PAGE]);
  // The listing went on with its page token, and not from its beginning.
  assert.equal(world.ledger.count({ name: 'messages.list' }), 4);
  assert.equal((await eventsOf(service, source.id, 'gap.opened')).length, 1);
});

test('a listing whose page token is forgotten begins anew', async () => {
  const source = await addExpired(dan, 3 * PAGE);
  let isForgotten = false;
  const removeHook = world.addHook(({ name, params }, moment) => {
    if (name !== 'messages.list' || moment !== 'asked' || !params.has('pageToken') || isForgotten) return;
    isForgotten = true;
    world.expirePageTokens(dan);
  });
  await start(source.id);
  await untilFilled(source.id);
  removeHook();
  assert.deepEqual(await storedIds(service, source.mailboxId), source.ids);
  const [gap] = await gapsOf(source.id);
  assert.deepEqual([gap.listed, gap.recovered], [3 * PAGE, 3 * PAGE]);
  assert.equal(world.ledger.count({ name: 'messages.list' }), 1 + 1 + 3);
});

test('a listing whose page tokens are never known is asked for with patience', async () => {
  const source = await addExpired(hal, 2 * PAGE);
  const remove = world.addRule(({ name, account, params }) => {
    return account === hal && name === 'messages.list' && params.has('pageToken')
      ? pageTokenExpired()
      : undefined;
  });
  await start(source.id);
  await untilWaiting(source.id);
  assert.equal(world.ledger.count({ name: 'messages.list', account: hal }), 4);
  remove();
  await lookAt(sql, source.id);
  await untilFilled(source.id);
  assert.deepEqual(await storedIds(service, source.mailboxId), source.ids);
});

test('a mail that cannot be had does not keep a gap open for ever', async () => {
  const source = await addExpired(eve, 3);
  const [poison = ''] = source.ids;
  const remove = world.fail({ messageId: poison }, serverError(500), Number.POSITIVE_INFINITY);
  await start(source.id);
  await untilFilled(source.id);
  const { counts } = await sourceOf(service, source.id);
  assert.deepEqual(counts, { failed: 1, missing: 0, openGaps: 0 });
  const [gap] = await gapsOf(source.id);
  assert.deepEqual([gap.listed, gap.recovered], [3, 2]);

  // Asked for again, it is tried again.
  remove();
  const since = new Date(Date.now() - HOUR_MS).toISOString();
  const { status } = await service.api('POST', `/v1/sources/${source.id}/sync`, { since });
  assert.equal(status, 202);
  await waitUntil('it is stored', async () => (await storedIds(service, source.mailboxId)).length === 3);
  assert.deepEqual(await storedIds(service, source.mailboxId), source.ids);
  await untilFilled(source.id);
  const wish = (await gapsOf(source.id)).find(({ reason }) => reason === 'requested');
  assert.deepEqual([wish.since, wish.listed, wish.recovered], [since, 3, 1]);
  assert.deepEqual((await sourceOf(service, source.id)).counts, { failed: 0, missing: 0, openGaps: 0 });
});

test('history that has expired twice in a row loses nothing', async () => {
  const source = await addExpired(fay, 2);
  world.fail({ name: 'history.list', account: fay }, expired(), 2);
  await start(source.id);
  await untilFilled(source.id);
  await lookAt(sql, source.id);
  await untilFilled(source.id);
  assert.deepEqual(await storedIds(service, source.mailboxId), source.ids);
  const { state, counts } = await sourceOf(service, source.id);
  assert.deepEqual([state, counts.openGaps], ['idle', 0]);
});

test('history that has always expired is asked for with patience', async () => {
  const source = await addExpired(gil, 2);
  const remove = world.fail({ name: 'history.list', account: gil }, expired(), Number.POSITIVE_INFINITY);
  await start(source.id);
  await untilWaiting(source.id);
  assert.ok(world.ledger.count({ name: 'history.list' }) <= 4);
  assert.equal((await eventsOf(service, source.id, 'gap.opened')).length, 1);
  remove();
  await lookAt(sql, source.id);
  await untilFilled(source.id);
  assert.deepEqual(await storedIds(service, source.mailboxId), source.ids);
});

test('a reset forgets the cursor, and stores nothing twice', async () => {
  const { id, mailboxId } = await addGmailSource(service, world, ada, { tenant: 'reset' });
  await untilFree(sql, id);
  const first = await world.deliver(ada);
  await lookAt(sql, id);
  const { status, body } = await service.api('POST', `/v1/sources/${id}/reset`);
  assert.deepEqual([status, body.cursor], [200, null]);
  const second = await world.deliver(ada);
  await lookAt(sql, id);
  await untilFilled(id);
  const stored = await storedIds(service, mailboxId);
  for (const mail of [first, second]) assert.equal(stored.filter((each) => each === mail.id).length, 1);
  const [gap] = await gapsOf(id);
  assert.deepEqual([gap.reason, gap.from], ['reset', null]);
  assert.ok(BigInt((await sourceOf(service, id)).cursor) >= BigInt(second.historyId));
});

test('a source that is stopped is not synced on wish', async () => {
  const { id } = await addGmailSource(service, world, bob, { tenant: 'stopped' });
  await service.api('POST', `/v1/sources/${id}/stop`);
  const { status, body } = await service.api('POST', `/v1/sources/${id}/sync`, {});
  assert.deepEqual([status, body.code], [409, 'source_stopped']);
});
