import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createBucket } from '../../../src/sources/gmail/quota.ts';

const never = new AbortController().signal;

/** A clock that is moved by hand; who pauses goes on at its time, in the order of the times. */
function createClock() {
  let nowMs = 0;
  const paused: { untilMs: number; resume: () => void }[] = [];
  return {
    nowMs: () => nowMs,
    pause: (ms: number) =>
      new Promise<void>((resume) => {
        paused.push({ untilMs: nowMs + ms, resume });
        // Stable: those of one time keep their order.
        paused.sort((a, b) => a.untilMs - b.untilMs);
      }),
    /** Lets time pass until nobody waits any more, or so many did. */
    async run(steps = Number.POSITIVE_INFINITY) {
      for (let step = 0; step < steps; step++) {
        await new Promise((resolve) => setImmediate(resolve));
        const next = paused.shift();
        if (next === undefined) return;
        nowMs = Math.max(nowMs, next.untilMs);
        next.resume();
      }
    },
  };
}

test('never lets more through in any minute than the limit, however it is asked', () =>
  fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ units: fc.constantFrom(1, 2, 5, 20, 50, 100), afterMs: fc.nat(20_000) }), {
        minLength: 1,
        maxLength: 150,
      }),
      async (asked) => {
        const limit = 600;
        const clock = createClock();
        const bucket = createBucket({ unitsPerMinute: 480, burst: 120 }, clock.nowMs, clock.pause);
        const taken: { index: number; atMs: number; units: number }[] = [];
        let beginsMs = 0;
        const work = asked.map(async ({ units, afterMs }, index) => {
          // Half of them come all at once.
          beginsMs += index % 2 === 0 ? afterMs : 0;
          if (beginsMs > 0) await clock.pause(beginsMs);
          await bucket.take(units, never);
          taken.push({ index, atMs: clock.nowMs(), units });
        });
        await clock.run();
        await Promise.all(work);

        let [first, sum] = [0, 0];
        for (const { atMs, units } of taken) {
          sum += units;
          while (atMs - (taken[first]?.atMs ?? 0) >= 60_000) sum -= taken[first++]?.units ?? 0;
          // The float's last digit aside.
          assert.ok(sum <= limit + 1e-6, `${sum} units in a minute`);
        }
        assert.equal(taken.length, asked.length);
        assert.deepEqual(
          taken.map(({ index }) => index),
          asked.map((_, index) => index),
          'not in the order of the calls',
        );
      },
    ),
    { numRuns: 100 },
  ));

test('a bucket that was left alone is full, and holds no more than that', async () => {
  let nowMs = 0;
  const bucket = createBucket({ unitsPerMinute: 60, burst: 20 }, () => nowMs);
  const isLetThrough = async (units: number) => {
    const giveUp = new AbortController();
    const take = bucket.take(units, giveUp.signal).then(
      () => true,
      () => false,
    );
    // What need not wait is through before this.
    await new Promise((resolve) => setImmediate(resolve));
    giveUp.abort();
    return take;
  };
  assert.equal(await isLetThrough(20), true);
  nowMs += 10_000;
  assert.equal(await isLetThrough(10), true);
  assert.equal(await isLetThrough(1), false);
  nowMs += 3_600_000;
  assert.equal(await isLetThrough(20), true);
  assert.equal(await isLetThrough(1), false);
});

test('who gives up stops waiting', async () => {
  const bucket = createBucket({ unitsPerMinute: 1, burst: 1 });
  await bucket.take(1, never);
  const giveUp = new AbortController();
  const waiting = bucket.take(1, giveUp.signal);
  giveUp.abort();
  await assert.rejects(waiting, { name: 'AbortError' });
});
