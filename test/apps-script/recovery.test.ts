import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { EXPIRED } from './gmail-service.ts';
import { createInstallation, type Installation } from './installation.ts';
import { startWorld, type World } from './world.ts';

const ACCOUNTS = Array.from({ length: 20 }, (_, i) => `recovery-${i}@example.com`);
const DAY_MINUTES = 24 * 60;
let world: World;
let next = 0;
before(async () => {
  world = await startWorld(ACCOUNTS);
});
after(() => world[Symbol.asyncDispose]());

const newAccount = () => ACCOUNTS[next++] ?? '';

/** So much time passes without a run, and Gmail forgets all history but the newest. */
function forget(box: Installation, minutes: number): void {
  world.clock.now += minutes * 60_000;
  const ids = box.delivered.slice(0, -1).map(({ historyId }) => String(historyId));
  const expired = new Set([box.runtime.state.cursor, ...ids]);
  box.runtime.faults.push((path) => {
    const start = path.startsWith('history?')
      ? new URLSearchParams(path.slice(8)).get('startHistoryId')
      : null;
    return start !== null && expired.has(start) ? EXPIRED : undefined;
  });
}

const gapsOf = (box: Installation) =>
  world.sql(`SELECT reason, from_cursor, recovered_by, recovered_at FROM gaps
    WHERE source_id = '${box.source.id.slice(4)}'`);
const eventsOf = (box: Installation) =>
  world
    .sql(`SELECT type FROM events WHERE mailbox_id = '${box.source.mailboxId.slice(4)}'
      AND type LIKE 'gap.%' ORDER BY id`)
    .map(({ type }) => type);

test('expired history is searched from an hour before the last good time, and the gap closes', () => {
  const box = createInstallation(world, newAccount());
  box.deliver('known');
  box.pass(1.1);
  const { cursor, goodAt } = box.runtime.state;
  const queries: (string | null)[] = [];
  box.runtime.faults.push((path) => {
    if (path.startsWith('messages?')) queries.push(new URLSearchParams(path.slice(9)).get('q'));
    return undefined;
  });
  for (let i = 0; i < 5; i++) {
    world.clock.now += 2 * DAY_MINUTES * 60_000;
    box.deliver(`missed ${i}`);
  }
  box.deliver('missed spam', { labelIds: ['SPAM'] });
  box.deliver('draft', { labelIds: ['DRAFT'], isWanted: false });
  forget(box, DAY_MINUTES);
  box.pass(2);
  box.expectAllStored();
  box.expectCursorBehindServer();
  assert.deepEqual(queries, [`after:${Math.floor(goodAt / 1000) - 3600}`]);
  const [gap, ...others] = gapsOf(box);
  assert.deepEqual(others, []);
  assert.deepEqual([gap.reason, gap.from_cursor, gap.recovered_by], ['history_expired', cursor, 'search']);
  assert.notEqual(gap.recovered_at, null);
  assert.deepEqual(eventsOf(box), ['gap.opened', 'gap.recovered']);

  box.deliver('and on it goes');
  box.pass(1.1);
  box.expectAllStored();
  assert.equal(box.row().cursor, box.runtime.state.cursor);
});

test('while a search is sent over several runs the gap is open, and mail that comes meanwhile is not lost', () => {
  const box = createInstallation(world, newAccount());
  box.deliver('known');
  box.pass(1.1);
  const { cursor } = box.runtime.state;
  for (let i = 0; i < 700; i++) box.deliver(`missed ${i}`);
  forget(box, DAY_MINUTES);
  box.pass(1);
  assert.equal(box.runtime.state.cursor, cursor, 'the cursor waits for the last of it');
  assert.equal(box.runtime.state.queue.count, 701);
  assert.deepEqual(eventsOf(box), ['gap.opened']);
  box.deliver('meanwhile');
  box.pass(4);
  box.expectAllStored();
  assert.deepEqual(eventsOf(box), ['gap.opened', 'gap.recovered']);
  assert.equal(box.runtime.state.queue, null);
});

test('a search that finds more than can be queued sends the newest, and leaves the gap open', () => {
  const change = (script: string) => script.replace('QUEUE_IDS = 10000', 'QUEUE_IDS = 10');
  const box = createInstallation(world, newAccount(), { change });
  box.pass(1.1);
  for (let i = 0; i < 15; i++) {
    world.clock.now += 1000;
    box.deliver(`missed ${i}`, { isWanted: i >= 5 });
  }
  forget(box, DAY_MINUTES);
  box.pass(3);
  box.expectAllStored();
  assert.deepEqual(eventsOf(box), ['gap.opened']);
  assert.equal(gapsOf(box)[0].recovered_at, null);
});

test('a mailbox without mail for weeks keeps a cursor that Gmail knows, and opens no gap', () => {
  const box = createInstallation(world, newAccount());
  box.deliver('first');
  box.pass(1.1);
  const [trigger] = box.runtime.triggers;
  if (trigger !== undefined) trigger.minutes = 30;
  // Other things happen in it, and history moves on: what is three days old is forgotten.
  for (let day = 0; day < 7; day++) {
    box.pass(DAY_MINUTES);
    box.deliver(`note ${day}`, { labelIds: ['DRAFT'], isWanted: false });
    box.runtime.faults.length = 0;
    const old = new Set(box.delivered.slice(0, -3).map(({ historyId }) => String(historyId)));
    box.runtime.faults.push((path) => {
      const start = new URLSearchParams(path.split('?')[1]).get('startHistoryId');
      return path.startsWith('history?') && start !== null && old.has(start) ? EXPIRED : undefined;
    });
  }
  box.deliver('last');
  box.pass(31);
  box.expectAllStored();
  assert.deepEqual(gapsOf(box), []);
});

test('a quiet cursor moves only when it has been quiet for a quarter of an hour', () => {
  const box = createInstallation(world, newAccount());
  box.deliver('first');
  box.pass(1.1);
  const { cursor } = box.runtime.state;
  // Something that is no new mail: history's newest id moves, and its list of new mails stays empty.
  const id = box.delivered[0]?.id;
  const { runtime } = box;
  world.http({
    url: `gmail:/gmail/v1/users/me/messages/${id}/modify`,
    method: 'POST',
    headers: {
      authorization: `Bearer token-of-${runtime.settings.account}`,
      'content-type': 'application/json',
    },
    body: JSON.stringify({ removeLabelIds: ['INBOX'] }),
  });
  box.pass(14);
  assert.equal(runtime.state.cursor, cursor);
  box.pass(35);
  assert.ok(BigInt(runtime.state.cursor) > BigInt(cursor));
  assert.equal(box.row().cursor, runtime.state.cursor);
});

test('resync sends what is there again, which stores nothing twice', () => {
  const box = createInstallation(world, newAccount());
  for (let i = 0; i < 5; i++) {
    box.deliver(`mail ${i}`);
    box.pass(60);
  }
  const from = box.runtime.posts.length;
  box.runtime.run('resync', 3.5);
  box.deliver('new');
  box.pass(2);
  const sent = box.runtime.posts
    .slice(from)
    .flatMap(({ body }) => body.messages.map(({ id }: { id: string }) => id));
  // The new one is found by history, and by the search after it.
  assert.deepEqual(new Set(sent), new Set(box.delivered.slice(2).map(({ id }) => id)));
  box.expectAllStored();
  assert.equal(box.runtime.state.queue, null);
});

test('resync repairs what a server that lost its data has lost', () => {
  const box = createInstallation(world, newAccount());
  for (let i = 0; i < 3; i++) box.deliver(`mail ${i}`);
  box.pass(1.1);
  for (const table of ['dedupe_ledger', 'events', 'messages'])
    world.sql(`DELETE FROM ${table} WHERE mailbox_id = '${box.source.mailboxId.slice(4)}'`);
  // Without a number, as its button runs it: RESYNC_HOURS.
  box.runtime.run('resync');
  box.pass(2);
  box.expectAllStored();
});

test('the first install sends as much old mail as its owner asks for', () => {
  const change = (script: string) => script.replace('BACKFILL_HOURS = 0', 'BACKFILL_HOURS = 24');
  const box = createInstallation(world, newAccount(), { change, install: false });
  box.deliver('long ago', { isWanted: false });
  box.pass(DAY_MINUTES + 1);
  box.deliver('yesterday');
  box.pass(60);
  box.deliver('an hour ago');
  box.runtime.run('install');
  box.deliver('now');
  box.pass(2);
  box.expectAllStored();
});
