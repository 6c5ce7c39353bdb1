import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Id, uuidOf } from '../../src/core/ids.ts';
import { addConsumer } from '../support/deliveries.ts';
import { emptyHistory } from '../support/gmail/faults.ts';
import { addGmailSource, all, storedIds } from './gmail-service.ts';
import { eventsOf, lookAt, openService, openWorld, sourceOf, untilFree } from './stage.ts';

const HOUR_MS = 3_600_000;
const ACCOUNTS = ['ada', 'bob', 'cy', 'dan'].map((name) => `${name}@example.com`);
const [ada = '', bob = '', cy = '', dan = ''] = ACCOUNTS;
const world = await openWorld({ accounts: ACCOUNTS });
const { service, sql } = await openService(world, { stubWaitsMs: [20] });

/** A source of last week, whose last audit was a day ago. */
async function addOld(account: string) {
  const source = await addGmailSource(service, world, account);
  await untilFree(sql, source.id);
  await makeAuditDue(source.id);
  return source;
}

async function makeAuditDue(id: Id<'src'>): Promise<void> {
  await sql`
    UPDATE sources SET audited_at = now() - interval '1 day', created_at = now() - interval '7 days'
    WHERE id = ${uuidOf(id)}`;
}

const ago = (hours: number) => Date.now() - hours * HOUR_MS;
const gapsOf = (id: Id<'src'>) => all(service, `/v1/gaps?source=${id}`);

/** Comes in without a trace in history. */
async function hide(account: string, hoursAgo: number): Promise<string> {
  const { id } = await world.deliver(account, { internalDateMs: ago(hoursAgo) });
  return id;
}

test('a mail that history never showed is found within a day, fetched and told of', async () => {
  await using consumer = await addConsumer(service, undefined, { types: ['gap.opened', 'gap.recovered'] });
  const source = await addOld(ada);
  const remove = world.fail({ name: 'history.list', account: ada }, emptyHistory(), Number.POSITIVE_INFINITY);
  const hidden = [await hide(ada, 40), await hide(ada, 5)];
  const [old, fresh] = [await hide(ada, 50), await hide(ada, 0.5)];
  await lookAt(sql, source.id);
  remove();
  assert.deepEqual(await storedIds(service, source.mailboxId), hidden.sort());
  const [received] = await consumer.waitFor(1);
  const { type, data } = JSON.parse(received?.body ?? '');
  assert.equal(type, 'gap.recovered');
  assert.deepEqual([data.gap.reason, data.gap.listed, data.gap.recovered], ['audit', 2, 2]);
  const [gap, ...others] = await gapsOf(source.id);
  assert.deepEqual(others, []);
  assert.deepEqual(gap, data.gap);
  assert.equal(world.ledger.count({ messageId: old }), 0);

  // The last hour may still be on its way; it is looked at the day after, and this one told of is over by then.
  assert.equal(world.ledger.count({ messageId: fresh }), 0);
  assert.equal(consumer.received.length, 1);
});

test('an audit that finds nothing leaves no trace, and comes once a day', async () => {
  const source = await addOld(bob);
  const mail = await world.deliver(bob, { internalDateMs: ago(3) });
  await lookAt(sql, source.id);
  assert.equal(world.ledger.count({ name: 'messages.list', account: bob }), 1);
  assert.deepEqual(await storedIds(service, source.mailboxId), [mail.id]);
  assert.deepEqual(await gapsOf(source.id), []);
  await lookAt(sql, source.id);
  assert.equal(world.ledger.count({ name: 'messages.list', account: bob }), 1);
  await makeAuditDue(source.id);
  await lookAt(sql, source.id);
  assert.equal(world.ledger.count({ name: 'messages.list', account: bob }), 2);
  assert.equal(world.ledger.count({ name: 'messages.get', messageId: mail.id }), 1);
  assert.deepEqual(await gapsOf(source.id), []);
  assert.deepEqual(await eventsOf(service, source.id, 'gap.opened', 'gap.recovered'), []);
});

test('drafts and sent mail are not missed', async () => {
  const source = await addOld(cy);
  await world.deliver(cy, { labelIds: ['SENT'], internalDateMs: ago(3) });
  await world.deliver(cy, { labelIds: ['DRAFT'], internalDateMs: ago(3) });
  await lookAt(sql, source.id);
  assert.deepEqual(await storedIds(service, source.mailboxId), []);
  assert.deepEqual(await gapsOf(source.id), []);
  assert.equal((await sourceOf(service, source.id)).lag, 0);
});

test('what came before the source is no one’s loss', async () => {
  const before = await world.deliver(dan, { internalDateMs: ago(30) });
  const source = await addGmailSource(service, world, dan);
  await untilFree(sql, source.id);
  await sql`
    UPDATE sources SET created_at = now() - interval '25 hours', audited_at = now() - interval '25 hours'
    WHERE id = ${uuidOf(source.id)}`;
  await lookAt(sql, source.id);
  assert.equal(world.ledger.count({ name: 'messages.list', account: dan }), 1);
  assert.equal(world.ledger.count({ messageId: before.id }), 0);
  assert.deepEqual(await storedIds(service, source.mailboxId), []);
});
