import assert from 'node:assert/strict';
import { test } from 'node:test';
import { uuidOf } from '../../src/core/ids.ts';
import { waitUntil } from '../support/embedded-place.ts';
import { slow } from '../support/gmail/faults.ts';
import { addGmailSource, storedIds } from './gmail-service.ts';
import { historyCalls, openService, openWorld, sourceOf, untilFree } from './stage.ts';

const [ada, bob, cy] = ['ada@example.com', 'bob@example.com', 'cy@example.com'];
const PAGE = 10;
const world = await openWorld({ accounts: [ada, bob, cy], largestPage: PAGE });
const { service, sql, restart } = await openService(world);

/** So many mails that came while nobody read, oldest first. */
async function addBacklog(account: string, count: number) {
  const source = await addGmailSource(service, world, account);
  await untilFree(sql, source.id);
  await service.api('POST', `/v1/sources/${source.id}/stop`);
  const { cursor } = await sourceOf(service, source.id);
  const mails = [];
  for (let index = 0; index < count; index++) mails.push(await world.deliver(account));
  world.ledger.clear();
  return { source, cursor, mails, ids: mails.map(({ id }) => id).sort() };
}

const start = (id: string) => service.api('POST', `/v1/sources/${id}/start`);
const storedAll = (mailboxId: string, count: number) =>
  waitUntil(`${count} mails are stored`, async () => (await storedIds(service, mailboxId)).length === count);

test('pages of one listing have one start, and the cursor goes along page by page', async () => {
  const { source, cursor, mails, ids } = await addBacklog(ada, 3 * PAGE);
  const cursors: string[] = [];
  const removeHook = world.addHook(async ({ name }, moment) => {
    if (name !== 'history.list' || moment !== 'asked') return;
    const [row] = await sql`SELECT cursor FROM sources WHERE id = ${uuidOf(source.id)}`;
    cursors.push(row?.cursor);
  });
  await start(source.id);
  await storedAll(source.mailboxId, 3 * PAGE);
  await untilFree(sql, source.id);
  removeHook();
  assert.deepEqual(await storedIds(service, source.mailboxId), ids);
  const calls = historyCalls(world, ada);
  assert.deepEqual(
    calls.map(({ start }) => start),
    [cursor, cursor, cursor],
  );
  assert.deepEqual(
    calls.map(({ token }) => token !== null),
    [false, true, true],
  );
  const ends = [PAGE, 2 * PAGE].map((count) => mails[count - 1]?.historyId);
  assert.deepEqual(cursors, [cursor, ...ends]);
  assert.equal((await sourceOf(service, source.id)).cursor, mails.at(-1)?.historyId);
  assert.equal(world.ledger.count({ name: 'messages.get' }), 3 * PAGE);
});

test('a page token that is forgotten in the middle has the listing go on from the cursor', async () => {
  const { source, cursor, mails, ids } = await addBacklog(bob, 3 * PAGE);
  let isForgotten = false;
  const removeHook = world.addHook(({ name, params }, moment) => {
    if (name !== 'history.list' || moment !== 'asked' || !params.has('pageToken') || isForgotten) return;
    isForgotten = true;
    world.expirePageTokens(bob);
  });
  await start(source.id);
  await storedAll(source.mailboxId, 3 * PAGE);
  await untilFree(sql, source.id);
  removeHook();
  assert.deepEqual(await storedIds(service, source.mailboxId), ids);
  const middle = mails[PAGE - 1]?.historyId;
  assert.deepEqual(
    historyCalls(world, bob).map(({ start }) => start),
    [cursor, cursor, middle, middle],
  );
  assert.equal(world.ledger.count({ name: 'messages.get' }), 3 * PAGE);
  assert.equal((await sourceOf(service, source.id)).counts.openGaps, 0);
});

test('a backlog goes on where it was when the service starts again', async () => {
  const { source, mails, ids } = await addBacklog(cy, 5 * PAGE);
  // Slow enough to be broken off in the middle of each page.
  const remove = world.addRule(({ name }) => (name === 'messages.get' ? slow(20) : undefined));
  await start(source.id);
  let from = mails[0]?.historyId ?? '';
  for (const count of [PAGE + 3, 3 * PAGE + 3]) {
    await waitUntil(`${count} mails are stored`, async () => {
      const [row] = await sql`SELECT count(*)::int AS count FROM messages`;
      return row?.count >= count + 6 * PAGE;
    });
    await restart();
    const [row] = await sql`SELECT cursor FROM sources WHERE id = ${uuidOf(source.id)}`;
    assert.ok(BigInt(row?.cursor) > BigInt(from));
    from = row?.cursor;
  }
  remove();
  await storedAll(source.mailboxId, 5 * PAGE);
  await untilFree(sql, source.id);
  assert.deepEqual(await storedIds(service, source.mailboxId), ids);
  // Each stop costs the mails under way at most, and no page.
  const gets = world.ledger.count({ name: 'messages.get' });
  assert.ok(gets <= 5 * PAGE + 2 * 4, `${gets} fetches`);
  const calls = historyCalls(world, cy);
  assert.equal(calls.length, 5);
});
