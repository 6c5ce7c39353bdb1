import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { callGmail, EXPIRED } from './gmail-service.ts';
import { createInstallation, type Installation } from './installation.ts';
import { startWorld, type World } from './world.ts';

/*
 * Google ends runs when it likes. An execution is ended here before each single call of a service, one by one; to end
 * it behind a call is to end it before the next, as there is no other effect in between.
 */

const ACCOUNTS = Array.from({ length: 600 }, (_, i) => `kill-${i}@example.com`);
let world: World;
let next = 0;
before(async () => {
  world = await startWorld(ACCOUNTS);
});
after(() => world[Symbol.asyncDispose]());

/** What happens in the hour, by its minute. */
type Hour = Record<number, (box: Installation) => void>;

const QUIET_AND_BUSY: Hour = {
  2: (box) => {
    for (const subject of ['a', 'b', 'Grüße', 'd', 'e']) box.deliver(subject);
  },
  7: (box) => {
    box.deliver('draft', { labelIds: ['DRAFT'], isWanted: false });
    const id = box.deliver('gone', { isWanted: false });
    callGmail(world, box.runtime.settings.account, 'DELETE', `messages/${id}`);
    box.deliver('there');
  },
  22: (box) => {
    box.runtime.serverFaults.push(() => ({ status: 503, headers: { 'retry-after': '2' } }));
    box.deliver('while the server is away');
  },
  27: (box) => {
    box.runtime.serverFaults.pop();
  },
  42: (box) => box.deliver('f'),
};

const EXPIRY: Hour = {
  2: (box) => {
    box.deliver('known');
  },
  12: (box) => {
    const expired = String(box.runtime.state.cursor);
    box.runtime.faults.push((path) => (path.includes(`startHistoryId=${expired}&`) ? EXPIRED : undefined));
    for (const subject of ['a', 'b', 'c']) box.deliver(subject);
  },
  22: (box) => box.deliver('behind it'),
};

/** The hour, with the execution ended before the `killAt`th call; answers the calls that there were. */
function live(hour: Hour, killAt: number | undefined): string[] {
  const box = createInstallation(world, ACCOUNTS[next++] ?? '', {
    // So that an hour has several batches, and few runs.
    change: (script: string) => script.replace('MAILS_A_BATCH = 100', 'MAILS_A_BATCH = 2'),
  });
  const [trigger] = box.runtime.triggers;
  if (trigger !== undefined) trigger.minutes = 5;
  const first = box.runtime.calls.length;
  let seen = '';
  let endsAt = 60;
  let minute = 0;
  box.runtime.onCall = ({ index }) => {
    if (index !== first + (killAt ?? -1)) return undefined;
    // Two more runs, and then what is left of them: what comes later in the hour has been seen from other calls.
    endsAt = Math.min(60, minute + 11);
    return 'kill';
  };
  for (; minute < endsAt; minute++) {
    hour[minute]?.(box);
    box.pass(1);
    if (box.runtime.state.cursor === seen) continue;
    seen = box.runtime.state.cursor;
    box.expectCursorBehindServer();
  }
  box.runtime.serverFaults.length = 0;
  const calls = box.runtime.calls.slice(first).map(({ name }) => name);
  assert.equal(
    box.runtime.executions.filter(({ isKilled }) => isKilled).length,
    killAt === undefined ? 0 : 1,
  );
  box.pass(16);
  box.expectAllStored();
  const { batch, queue, tries } = box.runtime.state;
  assert.deepEqual([batch, queue, tries], [null, null, {}]);
  const open = world.sql(`SELECT * FROM gaps WHERE source_id = '${box.source.id.slice(4)}'`);
  assert.ok(open.every(({ recovered_at }) => recovered_at !== null));
  if (killAt === undefined) assert.equal(open.length, hour === EXPIRY ? 1 : 0);
  assert.equal(box.runtime.triggers.length, 1);
  return calls;
}

/** The calls that change something: to be ended before another is to be ended before the next of these. */
const HAS_EFFECT = /^UrlFetchApp|^Properties\.(set|delete)|^ScriptApp\.(create|delete)|^Lock\./;

for (const [name, hour, isEvery] of [
  ['quiet and busy', QUIET_AND_BUSY, true],
  ['history expires', EXPIRY, process.env.MAILGRESS_TEST_WEEK === 'full'],
] as const) {
  test(`an execution ended at any one call of an hour loses nothing and doubles nothing: ${name}`, (t) => {
    const calls = live(hour, undefined);
    const ends = [...calls.keys()].filter((index) => isEvery || HAS_EFFECT.test(calls[index] ?? ''));
    for (const killAt of ends) {
      try {
        live(hour, killAt);
      } catch (error) {
        throw new Error(`ended before call ${killAt}, ${calls[killAt]}`, { cause: error });
      }
    }
    t.diagnostic(`${calls.length} calls, ended before ${ends.length}`);
  });
}

test('ended while it changes its pace, it has one trigger a run later', () => {
  for (let killAt = 0; ; killAt++) {
    const box = createInstallation(world, ACCOUNTS[next++] ?? '');
    box.pass(1.1);
    const busy = {
      ...box.runtime.state,
      runtime: { [Math.floor(world.clock.now / 3_600_000)]: 76 * 60_000 },
    };
    box.runtime.properties.set('mailgress.state', JSON.stringify(busy));
    const first = box.runtime.calls.length;
    box.runtime.onCall = ({ index }) => (index === first + killAt ? 'kill' : undefined);
    box.pass(1);
    const isKilled = box.runtime.executions.at(-1)?.isKilled;
    box.pass(10);
    assert.deepEqual(
      box.runtime.triggers.map(({ handler, minutes }) => [handler, minutes]),
      [['poll', 5]],
      `ended before call ${killAt}`,
    );
    if (!isKilled) return;
  }
});
