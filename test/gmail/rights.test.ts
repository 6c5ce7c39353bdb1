import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitUntil } from '../support/embedded-place.ts';
import { noScope } from '../support/gmail/faults.ts';
import { addGmailSource, all, storedIds } from './gmail-service.ts';
import { eventsOf, hint, lookAt, makeDue, openService, openWorld, sourceOf, untilFree } from './stage.ts';

const ACCOUNTS = ['ada', 'bob', 'cy', 'dan', 'eve'].map((name) => `${name}@example.com`);
const [ada = '', bob = '', cy = '', dan = '', eve = ''] = ACCOUNTS;
const world = await openWorld({ accounts: ACCOUNTS });
const { service, sql, restart } = await openService(world, { publicUrl: 'https://mail.example.org' });

const calls = (account: string) => world.ledger.count({ account });
const changes = (id: string) => eventsOf(service, id, 'source.state_changed');

test('a consent that is gone stops every call until a person gives it again; then all mail is there', async () => {
  const { id, mailboxId } = await addGmailSource(service, world, ada);
  await untilFree(sql, id);
  const { cursor } = await sourceOf(service, id);
  await world.revoke(ada);
  const first = await world.deliver(ada);
  await makeDue(sql, id);
  await waitUntil('it is told', async () => (await changes(id)).length === 1);
  const [told] = await changes(id);
  assert.deepEqual([told.data.previous, told.data.source.state], ['idle', 'needs_reauth']);
  assert.match(told.data.reason, /invalid_grant/);
  assert.match(told.data.reason, /https:\/\/mail\.example\.org\/connect\/google\?/);
  assert.ok(!JSON.stringify(told).includes(world.refreshToken(ada)));

  const before = calls(ada);
  const second = await world.deliver(ada);
  await hint(sql, ada, second.historyId);
  await makeDue(sql, id);
  // Another is looked at, so that this one had its chances.
  const other = await addGmailSource(service, world, bob, { tenant: 'other' });
  await untilFree(sql, other.id);
  await lookAt(sql, other.id);
  assert.equal(calls(ada), before);
  const waiting = await sourceOf(service, id);
  assert.deepEqual([waiting.state, waiting.cursor], ['needs_reauth', cursor]);

  const auth = { type: 'oauth', refreshToken: await world.grant(ada) };
  assert.equal((await service.api('PATCH', `/v1/sources/${id}`, { auth })).status, 200);
  await waitUntil('all is there', async () => (await storedIds(service, mailboxId)).length === 2);
  assert.deepEqual(await storedIds(service, mailboxId), [first.id, second.id].sort());
  await waitUntil('that is told, too', async () => (await changes(id)).length === 2);
  const [, well] = await changes(id);
  assert.equal(well.data.source.state, 'idle');
  assert.equal((await sourceOf(service, id)).state, 'idle');
  assert.deepEqual(await all(service, `/v1/gaps?source=${id}`), []);
});

test('a token that was taken back before its time is had anew, once', async () => {
  const { id, mailboxId } = await addGmailSource(service, world, bob);
  await untilFree(sql, id);
  for (let index = 0; index < 12; index++) await world.deliver(bob);
  await lookAt(sql, id);
  world.expireAccessTokens(bob);
  world.ledger.clear();
  const mail = await world.deliver(bob);
  await lookAt(sql, id);
  assert.ok((await storedIds(service, mailboxId)).includes(mail.id));
  assert.equal(world.ledger.count({ name: 'token', account: bob }), 1);
  assert.equal((await sourceOf(service, id)).state, 'idle');
  assert.deepEqual(await changes(id), []);
});

test('many fetches that find their token void share one new one', async () => {
  const { id, mailboxId } = await addGmailSource(service, world, cy);
  await untilFree(sql, id);
  for (let index = 0; index < 12; index++) await world.deliver(cy);
  world.ledger.clear();
  const remove = world.addHook(({ name, account }, moment) => {
    if (name !== 'history.list' || account !== cy || moment !== 'answered') return;
    remove();
    world.expireAccessTokens(cy);
  });
  await lookAt(sql, id);
  assert.equal((await storedIds(service, mailboxId)).length, 12);
  assert.equal(world.ledger.count({ name: 'token', account: cy }), 1);
});

test('a consent that covers too little says what to do, and is looked at again', async () => {
  const { id } = await addGmailSource(service, world, dan);
  await untilFree(sql, id);
  const remove = world.fail({ name: 'history.list', account: dan }, noScope(), 1);
  await makeDue(sql, id);
  await waitUntil('it is told', async () => (await changes(id)).length === 1);
  const [{ data }] = await changes(id);
  assert.equal(data.source.state, 'error');
  assert.match(data.reason, /lacks gmail\.readonly: connect again/);
  remove();
  await lookAt(sql, id);
  assert.equal((await sourceOf(service, id)).state, 'idle');
  assert.equal((await changes(id)).length, 2);
});

test('a service that lost its client says so of the sources that need it', async () => {
  const { id } = await addGmailSource(service, world, eve);
  await untilFree(sql, id);
  await makeDue(sql, id);
  await restart({
    publicUrl: 'https://mail.example.org',
    env: { GOOGLE_CLIENT_ID: '', GOOGLE_CLIENT_SECRET: '' },
  });
  await makeDue(sql, id);
  await waitUntil('it is told', async () => (await changes(id)).length === 1);
  const lost = await sourceOf(service, id);
  assert.equal(lost.state, 'error');
  assert.match(lost.reason, /GOOGLE_CLIENT_ID and GOOGLE_CLIENT_SECRET/);
  await restart();
  await lookAt(sql, id);
  assert.equal((await sourceOf(service, id)).state, 'idle');
});
