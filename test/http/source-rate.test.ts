import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createSourceRate, failOpen, type SourceRate } from '../../src/http/source-rate.ts';

function createClock() {
  let ms = 0;
  return {
    nowMs: () => ms,
    pass(moreMs: number) {
      ms += moreMs;
    },
  };
}

test('a burst of ten seconds goes through, then so many mails a second', () => {
  const { nowMs, pass } = createClock();
  const rate = createSourceRate(100, { nowMs });
  for (let mail = 0; mail < 1000; mail++) {
    assert.equal(rate.waitMs('a'), 0);
    rate.take('a', 1);
  }
  assert.ok(rate.waitMs('a') > 0);
  pass(10);
  assert.equal(rate.waitMs('a'), 0);
  rate.take('a', 1);
  assert.ok(rate.waitMs('a') > 0);
  pass(60_000);
  rate.take('a', 1000);
  assert.ok(rate.waitMs('a') > 0, 'a pause saves no more than the burst');
});

test('a limit of 0 is none', () => {
  const rate = createSourceRate(0);
  for (let push = 0; push < 3; push++) {
    rate.take('a', 10_000);
    assert.equal(rate.waitMs('a'), 0);
  }
});

test('a batch is taken whole, and the next one waits until it is paid back', () => {
  const { nowMs, pass } = createClock();
  const rate = createSourceRate(100, { nowMs });
  rate.take('a', 1500);
  assert.equal(rate.waitMs('a'), 5000);
  pass(5001);
  assert.equal(rate.waitMs('a'), 0);
});

test('sources have buckets of their own; those busy last are remembered, and only so many', () => {
  const { nowMs } = createClock();
  const rate = createSourceRate(100, { nowMs, maxSources: 3 });
  rate.take('a', 2000);
  for (const source of ['b', 'c']) rate.take(source, 1);
  rate.take('a', 1);
  rate.take('d', 1);
  assert.ok(rate.waitMs('a') > 0);
  assert.equal(rate.waitMs('b'), 0);
  rate.take('e', 1);
  rate.take('f', 1);
  rate.take('g', 1);
  assert.equal(rate.waitMs('a'), 0, 'forgotten, it begins anew');
});

describe('a limit with a fault of its own lets everything through', () => {
  const broken: Record<string, SourceRate> = {
    'that throws': {
      waitMs: () => {
        throw new Error('broken');
      },
      take: () => {
        throw new Error('broken');
      },
    },
    'that says nonsense': { waitMs: () => Number.NaN, take: () => {} },
    'whose clock went back': { waitMs: () => Number.NEGATIVE_INFINITY, take: () => {} },
  };
  for (const [name, rate] of Object.entries(broken))
    test(name, () => {
      const faults: unknown[] = [];
      const { nowMs, pass } = createClock();
      const guarded = failOpen(rate, (error) => faults.push(error), nowMs);
      for (let push = 0; push < 10; push++) {
        assert.equal(guarded.waitMs('a'), 0);
        guarded.take('a', 1);
      }
      assert.equal(faults.length, 1, 'and is told of once a minute');
      pass(60_000);
      guarded.waitMs('a');
      assert.equal(faults.length, 2);
    });
});
