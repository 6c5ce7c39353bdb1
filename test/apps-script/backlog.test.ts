import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { EXPIRED } from './gmail-service.ts';
import { createInstallation, type Installation } from './installation.ts';
import { startWorld, type World } from './world.ts';

/* More mail than runs have time for: it goes on, it ends, and Google's limits are never met. */

const ACCOUNTS = Array.from({ length: 10 }, (_, i) => `backlog-${i}@example.com`);
const MINUTE = 60_000;
let world: World;
let next = 0;
before(async () => {
  world = await startWorld(ACCOUNTS);
});
after(() => world[Symbol.asyncDispose]());

function installed(options = {}): Installation {
  const box = createInstallation(world, ACCOUNTS[next++] ?? '', options);
  box.pass(1.1);
  return box;
}

/** Lets hours pass until there is no backlog, or so many have passed; answers how many. */
function work(box: Installation, most: number): number {
  let cursor = BigInt(box.runtime.state.cursor);
  for (let hour = 1; hour <= most; hour++) {
    box.pass(60);
    const { state } = box.runtime;
    assert.ok(BigInt(state.cursor) >= cursor);
    cursor = BigInt(state.cursor);
    if (state.backlog === 0 && state.queue === null) return hour;
  }
  return Number.POSITIVE_INFINITY;
}

function expectLimitsKept(box: Installation): void {
  const { executions } = box.runtime;
  assert.deepEqual(
    executions.filter(({ isKilled }) => isKilled),
    [],
    "no run met Google's wall of 6 minutes",
  );
  assert.deepEqual(
    executions.filter(({ error }) => error !== null),
    [],
    "no run met Google's 90 minutes a day",
  );
}

for (const [name, minutesADay, googlesMinutes, most] of [
  ['of Workspace', 300, 360, 3],
  ...(process.env.MAILGRESS_TEST_WEEK === 'full' ? [['of everybody', 75, 90, 48] as const] : []),
] as const) {
  test(`2,300 mails at 3 s each end, read page by page, once each, within the runtime ${name}`, (t) => {
    const box = installed({
      change: (script: string) =>
        script.replace('RUNTIME_MINUTES_A_DAY = 75', `RUNTIME_MINUTES_A_DAY = ${minutesADay}`),
    });
    box.runtime.settings.quota.triggerMs = googlesMinutes * MINUTE;
    for (let i = 0; i < 2300; i++) box.deliver(`slow ${i}`);
    box.runtime.settings.latency = ({ name }) => (name === 'Gmail.Messages.get' ? 3000 : 60);
    const from = box.runtime.calls.length;
    const hours = work(box, most);
    t.diagnostic(`${hours} hours, ${box.runtime.executions.length} executions`);
    assert.ok(hours <= most, `${box.runtime.state.backlog} are left after ${most} hours`);
    box.expectAllStored();
    box.expectCursorBehindServer();
    expectLimitsKept(box);
    const reads = box.runtime.calls.slice(from).filter(({ name }) => name === 'Gmail.Messages.get');
    assert.equal(reads.length, 2300);
    box.runtime.settings.latency = () => 40;
    box.deliver('new');
    box.pass(6);
    box.expectAllStored();
  });
}

test('what a search finds is sent at 3 s each as well, over many runs', (t) => {
  const box = installed();
  box.deliver('known');
  box.pass(1);
  for (let i = 0; i < 700; i++) box.deliver(`missed ${i}`);
  const expired = box.runtime.state.cursor;
  box.runtime.faults.push((path) => (path.includes(`startHistoryId=${expired}&`) ? EXPIRED : undefined));
  box.runtime.settings.latency = ({ name }) => (name === 'Gmail.Messages.get' ? 3000 : 60);
  const hours = work(box, 24);
  t.diagnostic(`${hours} hours`);
  box.expectAllStored();
  box.expectCursorBehindServer();
  expectLimitsKept(box);
});

test('a search that takes too long is tried again, and then goes with what it has found', () => {
  const box = installed();
  box.deliver('known');
  box.pass(1);
  const lost = box.deliver('behind what the search finds');
  const expired = box.runtime.state.cursor;
  const end = box.delivered.at(-1)?.historyId;
  box.runtime.faults.push((path) => (path.includes(`startHistoryId=${expired}&`) ? EXPIRED : undefined));
  // Pages without end, which hold nothing.
  let pages = 0;
  box.runtime.faults.push((path) => {
    if (!path.startsWith('messages?')) return undefined;
    pages++;
    return { json: { nextPageToken: 'next', messages: [] } };
  });
  box.runtime.settings.latency = () => 500;
  box.pass(6);
  const told = world.sql(`SELECT reason FROM gaps WHERE source_id = '${box.source.id.slice(4)}'`);
  assert.deepEqual(told, [{ reason: 'history_expired' }], 'the server knows while it searches');
  box.pass(54);
  assert.ok(pages > 0);
  expectLimitsKept(box);
  assert.equal(box.runtime.state.cursor, String(end), 'it goes on behind it');
  const gaps = world.sql(`SELECT recovered_at FROM gaps WHERE source_id = '${box.source.id.slice(4)}'`);
  assert.deepEqual(
    gaps.map(({ recovered_at }) => recovered_at),
    [null],
    'the gap stays open',
  );
  box.deliver('new');
  box.pass(16);
  const stored = box.stored();
  assert.ok(!stored.includes(lost) && stored.includes(box.delivered.at(-1)?.id ?? ''));
});

test('a search that is slow for once is not cut', () => {
  const box = installed();
  box.deliver('known');
  box.pass(1);
  for (let i = 0; i < 5; i++) box.deliver(`missed ${i}`);
  const expired = box.runtime.state.cursor;
  box.runtime.faults.push((path) => (path.includes(`startHistoryId=${expired}&`) ? EXPIRED : undefined));
  let slow = 1;
  box.runtime.faults.push((path) => {
    if (!path.startsWith('messages?') || slow-- <= 0) return undefined;
    world.clock.now += 5 * MINUTE;
    return { json: { nextPageToken: 'next', messages: [] } };
  });
  box.pass(30);
  box.expectAllStored();
  const gaps = world.sql(`SELECT recovered_at FROM gaps WHERE source_id = '${box.source.id.slice(4)}'`);
  assert.ok(gaps.length === 1 && gaps[0].recovered_at !== null);
});

test('mail that a search does not know yet when history has expired is not lost', () => {
  const box = installed();
  box.deliver('known');
  box.pass(1);
  box.deliver('missed');
  const expired = box.runtime.state.cursor;
  box.runtime.faults.push((path) => (path.includes(`startHistoryId=${expired}&`) ? EXPIRED : undefined));
  // It came in just now: part of history, and so behind the cursor that is adopted, but not yet of the index.
  let fresh = '';
  let freshAt = 0;
  box.runtime.onCall = ({ name }) => {
    if (name !== 'Gmail.getProfile' || fresh !== '') return undefined;
    fresh = box.deliver('a moment ago');
    freshAt = world.clock.now;
    return undefined;
  };
  box.runtime.faults.push((path) => {
    if (!path.startsWith('messages?') || world.clock.now > freshAt + 5000) return undefined;
    return { json: { messages: box.delivered.filter(({ id }) => id !== fresh).map(({ id }) => ({ id })) } };
  });
  box.pass(5);
  assert.notEqual(fresh, '');
  box.expectAllStored();
});
