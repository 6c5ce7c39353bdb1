import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createInstallation, type Installation } from './installation.ts';
import { startWorld, type World } from './world.ts';

/* Clocks go wrong, and are put right again. What was noted meanwhile lies in the future then. */

const ACCOUNTS = Array.from({ length: 20 }, (_, i) => `clock-${i}@example.com`);
const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
let world: World;
let next = 0;
before(async () => {
  world = await startWorld(ACCOUNTS);
});
after(() => world[Symbol.asyncDispose]());

/** Puts the clock, and the triggers, which follow no clock but Google's. */
function jump(box: Installation, ms: number): void {
  world.clock.now += ms;
  for (const trigger of box.runtime.triggers) trigger.nextAt += ms;
}

function installed(): Installation {
  const box = createInstallation(world, ACCOUNTS[next++] ?? '');
  box.pass(1.1);
  return box;
}

for (const [name, ms] of [
  ['an hour', 60 * MINUTE],
  ['a year', 365 * DAY],
] as const) {
  test(`a clock that was ahead by ${name} silences no heartbeat and holds up no mail`, () => {
    const box = installed();
    jump(box, ms);
    box.deliver('meanwhile');
    box.pass(20);
    jump(box, -ms);
    const from = box.runtime.posts.length;
    box.pass(31);
    const posts = box.runtime.posts.slice(from);
    assert.ok(posts.length >= 2, 'its heartbeats go on');
    box.deliver('after');
    box.pass(1);
    box.expectAllStored();
    box.expectCursorBehindServer();
  });

  test(`what it was to wait for on a clock that was ahead by ${name} is soon over`, () => {
    const box = installed();
    jump(box, ms);
    box.deliver('waits');
    box.runtime.serverFaults.push(() => ({ status: 503 }));
    box.pass(40);
    box.runtime.serverFaults.length = 0;
    jump(box, -ms);
    // As long as a day at the most, which a quota may ask for.
    box.pass(Math.min(ms, DAY) / MINUTE + 31);
    box.expectAllStored();
  });
}

test('a network that fails on a clock that was put back blames no mail', () => {
  const box = installed();
  jump(box, 2 * 60 * MINUTE);
  for (let i = 0; i < 6; i++) box.deliver(`mail ${i}`);
  box.pass(1);
  for (let i = 0; i < 6; i++) box.deliver(`more ${i}`);
  jump(box, -2 * 60 * MINUTE);
  box.runtime.serverFaults.push(() => {
    throw new Error('Address unavailable');
  });
  box.pass(90);
  assert.deepEqual(box.runtime.state.tries, {});
  box.runtime.serverFaults.length = 0;
  box.pass(31);
  box.expectAllStored();
});

test('a clock that stands a day back for good changes nothing', () => {
  const box = installed();
  box.deliver('before');
  box.pass(20);
  jump(box, -DAY);
  box.deliver('after');
  box.pass(31);
  box.expectAllStored();
  assert.equal(box.runtime.state.batch, null);
});
