import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, test } from 'node:test';
import { uuidOf } from '../../src/core/ids.ts';
import { waitUntil } from '../support/embedded-place.ts';
import { slow } from '../support/gmail/faults.ts';
import { addGmailSource, startGmailService, storedIds } from './gmail-service.ts';
import { eventsOf, hint, openService, openWorld, sourceOf, untilFree } from './stage.ts';

const ACCOUNTS = ['ada', 'bob', 'cy'].map((name) => `${name}@example.com`);
const [ada = '', bob = '', cy = ''] = ACCOUNTS;
const world = await openWorld({ accounts: ACCOUNTS, largestPage: 10 });
const { service, sql } = await openService(world);

const gets = (account: string) => world.ledger.count({ name: 'messages.get', account });

test('two processes share a mailbox and fetch nothing twice, and its cursor never goes back', async () => {
  const second = await startGmailService(world, { databaseUrl: service.databaseUrl });
  after(() => second.stop());
  const { id, mailboxId } = await addGmailSource(service, world, ada);
  await untilFree(sql, id);
  // Each process has a token of its own.
  const processes = () => world.ledger.count({ name: 'token', account: ada });
  const cursors: bigint[] = [];
  let isOver = false;
  const watching = (async () => {
    while (!isOver) {
      const { cursor } = await sourceOf(service, id);
      cursors.push(BigInt(cursor));
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  })();
  const remove = world.addRule(({ name }) => (name === 'messages.get' ? slow(15) : undefined));
  const ids: string[] = [];
  try {
    // Whichever looks first after a hint has the turn: in a while both had some.
    for (let round = 0; round < 6 || (processes() < 2 && round < 60); round++) {
      const mails = await world.deliverMany(ada, 5);
      ids.push(...mails.map((mail) => mail.id));
      await hint(sql, ada, await world.historyId(ada));
      if (round % 2 === 0) await untilFree(sql, id);
    }
    await waitUntil('all is stored', async () => (await storedIds(service, mailboxId)).length === ids.length);
    await untilFree(sql, id);
  } finally {
    isOver = true;
    remove();
    await watching;
    await second.stop();
  }
  assert.deepEqual(await storedIds(service, mailboxId), ids.sort());
  assert.equal(gets(ada), ids.length);
  assert.deepEqual(
    cursors,
    cursors.toSorted((a, b) => (a < b ? -1 : 1)),
  );
  assert.equal(processes(), 2, 'only one process had turns');
  assert.equal((await eventsOf(service, id, 'message.received')).length, ids.length);
});

test('what a dead process had claimed is taken over when its lease ends', async () => {
  const { id, mailboxId } = await addGmailSource(service, world, bob);
  await untilFree(sql, id);
  const dead = randomUUID();
  await sql`
    UPDATE sources SET lease_owner = ${dead}, lease_until = now() + interval '1 second', fence = fence + 1,
      due_at = now()
    WHERE id = ${uuidOf(id)}`;
  const claimedMs = Date.now();
  const mail = await world.deliver(bob);
  assert.equal((await sourceOf(service, id)).leaseHolder, dead.slice(0, 18));
  world.ledger.clear();
  await waitUntil('it is stored', async () => (await storedIds(service, mailboxId)).length === 1);
  assert.deepEqual(await storedIds(service, mailboxId), [mail.id]);
  const [first] = world.ledger.entries.filter(({ account }) => account === bob);
  assert.ok((first?.atMs ?? 0) - claimedMs >= 900, 'taken over before the lease ended');
});

test('who lost its lease in a slow fetch stores the mail once, and moves no cursor', async () => {
  const { id, mailboxId } = await addGmailSource(service, world, cy);
  await untilFree(sql, id);
  await service.api('POST', `/v1/sources/${id}/stop`);
  const mails = [];
  for (let index = 0; index < 15; index++) mails.push(await world.deliver(cy));
  // The first page is stubbed, its first mails on their way.
  const remove = world.fail({ name: 'messages.get', account: cy }, slow(500), 4);
  await service.api('POST', `/v1/sources/${id}/start`);
  await waitUntil('it fetches', () => gets(cy) === 4);
  const thief = randomUUID();
  await sql`
    UPDATE sources SET lease_owner = ${thief}, lease_until = now() + interval '1 hour', fence = fence + 1
    WHERE id = ${uuidOf(id)}`;
  const { cursor } = await sourceOf(service, id);
  assert.equal(cursor, mails[9]?.historyId);
  // Its fetches are let to their end, or broken off when it hears of its loss; then it is silent.
  await waitUntil('the loser is silent', () => {
    const last = world.ledger.entries.findLast(({ account }) => account === cy);
    return last !== undefined && Date.now() - last.atMs > 1700;
  });
  remove();
  const left = await sourceOf(service, id);
  assert.deepEqual([left.cursor, left.leaseHolder], [cursor, thief.slice(0, 18)]);

  // The thief is dead, too, and its lease over.
  await sql`UPDATE sources SET lease_until = now(), due_at = now() WHERE id = ${uuidOf(id)}`;
  await waitUntil('all is stored', async () => (await storedIds(service, mailboxId)).length === 15);
  assert.deepEqual(await storedIds(service, mailboxId), mails.map((mail) => mail.id).sort());
  assert.ok(gets(cy) <= 15 + 4, `${gets(cy)} fetches`);
  await untilFree(sql, id);
  assert.equal((await sourceOf(service, id)).cursor, mails.at(-1)?.historyId);
});
