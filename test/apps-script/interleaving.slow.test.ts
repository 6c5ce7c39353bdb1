import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createInstallation, type Installation } from './installation.ts';
import { startWorld, type World } from './world.ts';

/*
 * Google starts a run while another is at work, and a person presses a button at any time, or closes the window while
 * what they began is at work. Tried at every call of a service, one by one.
 */

const ACCOUNTS = Array.from({ length: 500 }, (_, i) => `between-${i}@example.com`);
let world: World;
let next = 0;
before(async () => {
  world = await startWorld(ACCOUNTS);
});
after(() => world[Symbol.asyncDispose]());

const TWO_A_BATCH = (script: string) => script.replace('MAILS_A_BATCH = 100', 'MAILS_A_BATCH = 2');

function installed(): Installation {
  const box = createInstallation(world, ACCOUNTS[next++] ?? '', { change: TWO_A_BATCH });
  box.pass(1.1);
  return box;
}

/** Runs a function in between, before the given call of the next run; false if the run had no such call. */
function runBetween(box: Installation, at: number, name: string): boolean {
  const first = box.runtime.calls.length;
  let isDone = false;
  box.runtime.onCall = ({ index }) => {
    if (index !== first + at || isDone) return undefined;
    isDone = true;
    try {
      box.runtime.run(name, name === 'resync' ? 3 : undefined);
    } catch (error) {
      assert.match(String(Object(error).message), /A run is at work/);
    }
    return undefined;
  };
  box.pass(1);
  box.runtime.onCall = () => undefined;
  return isDone;
}

for (const name of ['poll', 'install', 'pause', 'resume', 'resync', 'rotateSecret', 'status', 'selfTest']) {
  test(`${name} at any call of a run loses nothing and doubles nothing`, (t) => {
    let at = 0;
    for (; ; at++) {
      const box = installed();
      for (const subject of ['a', 'b', 'c']) box.deliver(subject);
      const isDone = runBetween(box, at, name);
      box.expectCursorBehindServer();
      if (name === 'pause') box.runtime.run('resume');
      box.deliver('d');
      box.pass(4);
      box.expectAllStored();
      box.expectCursorBehindServer();
      const { batch, queue, tries, paused } = box.runtime.state;
      assert.deepEqual([batch, queue, tries, paused], [null, null, {}, false], `before call ${at}`);
      assert.equal(box.runtime.triggers.length, 1);
      assert.equal(box.runtime.properties.get('mailgress.secret'), box.source.secret);
      if (!isDone) break;
    }
    t.diagnostic(`${at} calls`);
  });
}

for (const name of ['install', 'pause', 'resume', 'resync', 'rotateSecret']) {
  test(`${name}, ended at any call and run again, does what it says`, (t) => {
    for (let at = 0; ; at++) {
      const box = createInstallation(world, ACCOUNTS[next++] ?? '', {
        change: TWO_A_BATCH,
        install: name !== 'install',
      });
      if (name === 'resume') box.runtime.run('pause');
      if (name !== 'install') box.deliver('before');
      const first = box.runtime.calls.length;
      let isKilled = false;
      box.runtime.onCall = ({ index }) => {
        isKilled ||= index === first + at;
        return index === first + at ? 'kill' : undefined;
      };
      try {
        box.runtime.run(name);
      } catch (error) {
        assert.ok(isKilled, String(error));
      }
      box.runtime.onCall = () => undefined;
      // What it had begun is no obstacle, whether it is run again at once or later.
      if (at % 2 === 0) box.pass(2);
      box.runtime.run(name);
      if (name === 'pause') box.runtime.run('resume');
      box.deliver('after');
      box.pass(4);
      box.expectAllStored();
      box.expectCursorBehindServer();
      assert.equal(box.runtime.triggers.length, 1, `ended before call ${at}`);
      assert.deepEqual([box.runtime.state.queue, box.runtime.state.paused], [null, false]);
      if (isKilled) continue;
      t.diagnostic(`${at} calls`);
      return;
    }
  });
}

test('uninstall, ended at any call and run again, leaves nothing', () => {
  for (let at = 0; ; at++) {
    const box = installed();
    const first = box.runtime.calls.length;
    box.runtime.onCall = ({ index }) => (index === first + at ? 'kill' : undefined);
    let isKilled = false;
    try {
      box.runtime.run('uninstall');
    } catch {
      isKilled = true;
    }
    box.runtime.run('uninstall');
    assert.deepEqual([box.runtime.triggers, box.runtime.properties.size], [[], 0]);
    if (!isKilled) return;
  }
});
