import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Sql } from 'postgres';
import { type Id, uuidOf } from '../../src/core/ids.ts';
import { waitUntil } from '../support/embedded-place.ts';
import type { CallName } from '../support/gmail/calls.ts';
import { type Fault, quotaSpent, tooMany, tooManyUntil, userRateLimit } from '../support/gmail/faults.ts';
import { addGmailSource, storedIds } from './gmail-service.ts';
import { hint, lookAt, makeDue, openService, openWorld, sourceOf, untilFree } from './stage.ts';

const ACCOUNTS = ['a', 'b', 'c', 'd', 'e', 'f', 'well'].map((name) => `${name}@example.com`);
const [a = '', b = '', c = '', d = '', e = '', f = '', well = ''] = ACCOUNTS;
const world = await openWorld({ accounts: ACCOUNTS });
const { service, sql } = await openService(world, { random: () => 0.5 });
const other = await addGmailSource(service, world, well);

/** In seconds from now. */
async function slowForS(sql: Sql, id: Id<'src'>): Promise<number> {
  const [row] = await sql<[{ seconds: number }]>`
    SELECT extract(epoch FROM slow_until - now())::float AS seconds FROM sources WHERE id = ${uuidOf(id)}`;
  return row.seconds;
}

const near = (seconds: number, expected: number) =>
  assert.ok(seconds <= expected && seconds > expected - 5, `slow for ${seconds} s, not ${expected}`);

const CASES: [string, string, CallName, () => Fault, number][] = [
  ['the time in a header', a, 'messages.get', () => tooMany(600), 600],
  ['the time in the text alone', b, 'history.list', () => tooManyUntil(new Date(Date.now() + 600_000)), 600],
  ['403 without a time', c, 'messages.get', userRateLimit, 30],
  ['a spent quota', d, 'history.list', () => quotaSpent(403), 30],
];

for (const [name, account, call, fault, seconds] of CASES) {
  test(`${name}: the account is left alone so long, whatever is hinted, and others are not`, async () => {
    const { id, mailboxId } = await addGmailSource(service, world, account);
    await untilFree(sql, id);
    world.fail({ name: call, account }, fault(), Number.POSITIVE_INFINITY);
    const mail = await world.deliver(account);
    await makeDue(sql, id);
    await waitUntil('it is slow', async () => (await sourceOf(service, id)).state === 'backoff');
    near(await slowForS(sql, id), seconds);
    const { reason, nextAttemptAt } = await sourceOf(service, id);
    assert.match(reason, /Gmail answers (429|403)/);
    assert.ok(Date.parse(nextAttemptAt) > Date.now() + (seconds - 5) * 1000);

    const calls = world.ledger.count({ account });
    await hint(sql, account, mail.historyId);
    await service.api('POST', `/v1/sources/${id}/sync`, {});
    // Another is looked at meanwhile, more than once.
    const seen = await world.deliver(well);
    for (let look = 0; look < 3; look++) await lookAt(sql, other.id);
    assert.ok((await storedIds(service, other.mailboxId)).includes(seen.id));
    assert.equal(world.ledger.count({ account }), calls);
    assert.deepEqual(await storedIds(service, mailboxId), []);
  });
}

test('a limit that its watch meets holds for what comes after it, too', async () => {
  const { id } = await addGmailSource(service, world, e);
  await untilFree(sql, id);
  await sql`UPDATE gmail_watches SET due_at = now() WHERE account = ${e}`;
  const remove = world.fail({ name: 'watch', account: e }, tooMany(60));
  world.ledger.clear();
  await makeDue(sql, id);
  await waitUntil('it is slow', async () => (await sourceOf(service, id)).state === 'backoff');
  remove();
  near(await slowForS(sql, id), 60);
  assert.deepEqual(
    world.ledger.entries.filter(({ account }) => account === e).map(({ name }) => name),
    ['watch'],
  );
});

test('a limit is the account’s: the source of another tenant keeps it', async () => {
  const one = await addGmailSource(service, world, f, { tenant: 'one' });
  const two = await addGmailSource(service, world, f, { tenant: 'two' });
  for (const { id } of [one, two]) await untilFree(sql, id);
  world.ledger.clear();
  const remove = world.fail({ name: 'history.list', account: f }, tooMany(120));
  const mail = await world.deliver(f);
  await makeDue(sql, one.id);
  await waitUntil('it is slow', async () => (await sourceOf(service, one.id)).state === 'backoff');
  await waitUntil('so is the other', async () => (await slowForS(sql, two.id)) > 100);
  remove();
  await makeDue(sql, two.id);
  await lookAt(sql, other.id);
  assert.equal(world.ledger.count({ account: f }), 1);

  // What the passing of the time does.
  await sql`UPDATE sources SET slow_until = now() WHERE account = ${f}`;
  for (const { id } of [one, two]) await lookAt(sql, id);
  for (const { id, mailboxId } of [one, two]) {
    assert.deepEqual(await storedIds(service, mailboxId), [mail.id]);
    assert.equal((await sourceOf(service, id)).state, 'idle');
  }
});
