import assert from 'node:assert/strict';
import { test } from 'node:test';
import { uuidOf } from '../../src/core/ids.ts';
import { waitUntil } from '../support/embedded-place.ts';
import { backendError, cut, garbage, serverError, withoutRaw } from '../support/gmail/faults.ts';
import { addGmailSource, all, storedIds } from './gmail-service.ts';
import { eventsOf, lookAt, makeDue, openService, openWorld, sourceOf, untilFree } from './stage.ts';

const ACCOUNTS = ['ada', 'bob', 'cy', 'dan'].map((name) => `${name}@example.com`);
const [ada = '', bob = '', cy = '', dan = ''] = ACCOUNTS;
const world = await openWorld({ accounts: ACCOUNTS });
const WAITS_MS = [30, 60];
const { service, sql } = await openService(world, { stubWaitsMs: WAITS_MS });
const FOR_EVER = Number.POSITIVE_INFINITY;

async function addStopped(account: string) {
  const source = await addGmailSource(service, world, account);
  await untilFree(sql, source.id);
  await service.api('POST', `/v1/sources/${source.id}/stop`);
  return source;
}

const start = (id: string) => service.api('POST', `/v1/sources/${id}/start`);

test('a mail that fails for ever is tried on a ladder, then kept as failed, and in the way of none', async () => {
  const { id, mailboxId } = await addStopped(ada);
  const poison = await world.deliver(ada);
  const good = [await world.deliver(ada), await world.deliver(ada)];
  world.fail({ messageId: poison.id }, backendError(), FOR_EVER);
  await start(id);
  await waitUntil('the others are stored', async () => (await storedIds(service, mailboxId)).length === 2);
  assert.deepEqual(await storedIds(service, mailboxId), good.map((mail) => mail.id).sort());
  await waitUntil('it is given up', async () => (await sourceOf(service, id)).counts.failed === 1);

  const [stub, ...others] = await all(service, `/v1/sources/${id}/stubs?status=failed`);
  assert.deepEqual(others, []);
  assert.equal(stub.providerId, poison.id);
  assert.equal(stub.attempts, WAITS_MS.length + 1);
  assert.match(stub.error, /Gmail answers 500/);
  const tries = world.ledger.entries.filter(({ messageId }) => messageId === poison.id);
  assert.equal(tries.length, WAITS_MS.length + 1);
  for (const [index, waitMs] of WAITS_MS.entries()) {
    const waited = (tries[index + 1]?.atMs ?? 0) - (tries[index]?.atMs ?? 0);
    assert.ok(waited >= waitMs, `${waited} ms before try ${index + 2}`);
  }
  const { state, lag } = await sourceOf(service, id);
  assert.deepEqual([state, lag], ['idle', 0]);
  assert.deepEqual(await eventsOf(service, id, 'source.state_changed'), []);
});

test('every way to have no mail of a message fails that message alone', async () => {
  const { id, mailboxId } = await addStopped(bob);
  const faults = [garbage(), withoutRaw(), cut('unheard'), cut('half-way')];
  const poisons = [];
  for (const fault of faults) {
    const mail = await world.deliver(bob);
    world.fail({ messageId: mail.id }, fault, FOR_EVER);
    poisons.push(mail.id);
  }
  const good = await world.deliver(bob);
  await start(id);
  await waitUntil('they are given up', async () => (await sourceOf(service, id)).counts.failed === 4);
  assert.deepEqual(await storedIds(service, mailboxId), [good.id]);
  const stubs = await all(service, `/v1/sources/${id}/stubs?status=failed`);
  assert.deepEqual(stubs.map(({ providerId }) => providerId).sort(), poisons.sort());
});

test('ten in a row hold up no other, and make no trouble of the source', async () => {
  const { id, mailboxId } = await addStopped(cy);
  for (let index = 0; index < 10; index++) {
    const { id: messageId } = await world.deliver(cy);
    world.fail({ messageId }, serverError(500), FOR_EVER);
  }
  const good = await world.deliver(cy);
  await start(id);
  await waitUntil('the good one is stored', async () => (await storedIds(service, mailboxId)).length === 1);
  assert.deepEqual(await storedIds(service, mailboxId), [good.id]);
  await waitUntil('ten are given up', async () => (await sourceOf(service, id)).counts.failed === 10);
  const [row] = await sql`SELECT failures, state FROM sources WHERE id = ${uuidOf(id)}`;
  assert.deepEqual([row?.failures, row?.state], [0, 'idle']);
  // Next mail is not held up by them either.
  const next = await world.deliver(cy);
  await lookAt(sql, id);
  assert.deepEqual(await storedIds(service, mailboxId), [good.id, next.id].sort());
});

test('while Gmail is down no mail is given up, and the source says when that lasts, and ends', async () => {
  const { id, mailboxId } = await addGmailSource(service, world, dan);
  await untilFree(sql, id);
  const mails = [];
  for (let index = 0; index < 6; index++) mails.push(await world.deliver(dan));
  // It goes away when history has been read.
  let isDown = false;
  const removeRule = world.addRule(({ name, account }) => {
    if (account !== dan) return undefined;
    isDown ||= name === 'messages.get';
    return isDown ? serverError(503) : undefined;
  });
  await makeDue(sql, id);
  const failures = async () => {
    const [row] = await sql`SELECT failures FROM sources WHERE id = ${uuidOf(id)} AND lease_until IS NULL`;
    return row?.failures ?? 0;
  };
  for (let count = 1; count <= 9; count++) {
    await waitUntil(`${count} looks have failed`, async () => (await failures()) === count);
    assert.equal((await sourceOf(service, id)).state, count < 8 ? 'backoff' : 'error');
    await makeDue(sql, id);
  }
  const { counts, lag } = await sourceOf(service, id);
  assert.deepEqual([counts.failed, lag], [0, 6]);
  removeRule();
  await makeDue(sql, id);
  await waitUntil('all is stored', async () => (await storedIds(service, mailboxId)).length === 6);
  await waitUntil('it is well', async () => (await sourceOf(service, id)).state === 'idle');
  assert.deepEqual(await storedIds(service, mailboxId), mails.map((mail) => mail.id).sort());
  const told = await eventsOf(service, id, 'source.state_changed');
  assert.deepEqual(
    told.map(({ data }) => [data.previous, data.source.state]),
    [
      ['backoff', 'error'],
      ['error', 'idle'],
    ],
  );
  assert.match(told[0].data.reason, /503/);
});
