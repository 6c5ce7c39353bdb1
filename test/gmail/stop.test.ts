import assert from 'node:assert/strict';
import { test } from 'node:test';
import { captureLog } from '../http/captured-log.ts';
import { waitUntil } from '../support/embedded-place.ts';
import { slow } from '../support/gmail/faults.ts';
import { addGmailSource, storedIds } from './gmail-service.ts';
import { lookAt, makeDue, openService, openWorld, sourceOf, untilFree } from './stage.ts';

const ACCOUNTS = ['ada', 'bob', 'cy', 'dan'].map((name) => `${name}@example.com`);
const [ada = '', bob = '', cy = '', dan = ''] = ACCOUNTS;
const world = await openWorld({ accounts: ACCOUNTS });
const { log, lines } = captureLog();
const { service, sql, restart } = await openService(world, { log });

const COUNT = 40;

/** A source in the middle of fetching. */
async function addBusy(account: string) {
  const source = await addGmailSource(service, world, account);
  await untilFree(sql, source.id);
  await world.deliverMany(account, COUNT);
  const remove = world.addRule((call) => {
    return call.account === account && call.name === 'messages.get' ? slow(400) : undefined;
  });
  await makeDue(sql, source.id);
  await waitUntil('it fetches', () => world.ledger.count({ name: 'messages.get', account }) >= 6);
  return { ...source, remove };
}

const gets = (account: string) => world.ledger.count({ name: 'messages.get', account });

test('a stop in the middle of a look ends it within 2 seconds, and a start goes on from there', async () => {
  const { id, mailboxId, remove } = await addBusy(ada);
  const { body } = await service.api('POST', `/v1/sources/${id}/stop`);
  const stoppedMs = Date.now();
  assert.deepEqual([body.state, body.wanted], ['disconnected', false]);
  await waitUntil('it has let go', async () => (await sourceOf(service, id)).leaseHolder === null);
  const tookMs = Date.now() - stoppedMs;
  assert.ok(tookMs < 2000 + 500, `it went on for ${tookMs} ms`);
  const { state, lag, cursor } = await sourceOf(service, id);
  assert.equal(state, 'disconnected');
  const stored = (await storedIds(service, mailboxId)).length;
  assert.equal(stored + lag, COUNT);
  assert.ok(lag > 0);
  const before = gets(ada);
  remove();

  await service.api('POST', `/v1/sources/${id}/start`);
  await waitUntil('all is stored', async () => (await storedIds(service, mailboxId)).length === COUNT);
  await untilFree(sql, id);
  assert.equal((await sourceOf(service, id)).cursor, cursor);
  assert.equal(gets(ada) - before, lag);
});

test('a source that is deleted in the middle of a look is gone, and what it stored stays', async () => {
  const { id, mailboxId, remove } = await addBusy(bob);
  const { status } = await service.api('DELETE', `/v1/sources/${id}`);
  assert.equal(status, 204);
  assert.equal((await service.api('GET', `/v1/sources/${id}`)).status, 404);
  await untilCallsEnd(bob);
  remove();
  const stored = await storedIds(service, mailboxId);
  assert.ok(stored.length > 0 && stored.length < COUNT, `${stored.length} mails`);
  assert.ok(gets(bob) < COUNT);
});

test('a mailbox that is deleted in the middle of a look takes all with it', async () => {
  const { id, mailboxId, remove } = await addBusy(cy);
  const { status } = await service.api('DELETE', `/v1/mailboxes/${mailboxId}`);
  assert.equal(status, 204);
  await untilCallsEnd(cy);
  remove();
  assert.equal((await service.api('GET', `/v1/sources/${id}`)).status, 404);
  const [left] = await sql`
    SELECT (SELECT count(*)::int FROM messages WHERE mailbox_id = ${mailboxId.slice(4)}) AS messages,
           (SELECT count(*)::int FROM stubs WHERE source_id = ${id.slice(4)}) AS stubs`;
  assert.deepEqual({ ...left }, { messages: 0, stubs: 0 });
  assert.ok(gets(cy) < COUNT);
});

test('none of that is an error of the log', () => {
  assert.deepEqual(
    lines.filter(({ level }) => level >= 40),
    [],
  );
});

test('a service that stops in the middle of a look gives the source back at once', async () => {
  const { id, mailboxId, remove } = await addBusy(dan);
  const beganMs = Date.now();
  await restart();
  assert.ok(Date.now() - beganMs < 10_000);
  remove();
  await waitUntil('all is stored', async () => (await storedIds(service, mailboxId)).length === COUNT);
  // A look that was broken off had at most 4 fetches under way.
  assert.ok(gets(dan) <= COUNT + 4, `${gets(dan)} fetches`);
  await lookAt(sql, id);
});

/** Resolves once no call of the account came for longer than a fetch and the renewal of a lease take. */
async function untilCallsEnd(account: string): Promise<void> {
  await waitUntil('its calls end', () => {
    const last = world.ledger.entries.findLast((entry) => entry.account === account);
    return last !== undefined && Date.now() - last.atMs > 2000;
  });
}
