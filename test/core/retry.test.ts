import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MAX_ATTEMPTS, parseRetryAfter, retryDelayMs } from '../../src/core/retry.ts';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** `random` at which the jitter is nought. */
const MIDDLE = 0.5;

describe('retryDelayMs', () => {
  const schedule = [
    0,
    5 * SECOND,
    5 * MINUTE,
    30 * MINUTE,
    2 * HOUR,
    5 * HOUR,
    10 * HOUR,
    10 * HOUR,
    14 * HOUR,
    20 * HOUR,
    24 * HOUR,
  ];
  for (const [attempts, waitMs] of schedule.entries())
    test(`waits ${waitMs / SECOND} s after ${attempts} attempts, give or take a fifth`, () => {
      assert.equal(retryDelayMs({ attempts, random: MIDDLE }), waitMs);
      assert.equal(retryDelayMs({ attempts, random: 0 }), waitMs * 0.8);
      const most = retryDelayMs({ attempts, random: 1 - Number.EPSILON }) ?? Number.NaN;
      assert.ok(Math.abs(most - waitMs * 1.2) <= 1, String(most));
    });

  test('ends after eleven attempts', () => {
    assert.equal(MAX_ATTEMPTS, 11);
    assert.equal(retryDelayMs({ attempts: 11, random: MIDDLE }), undefined);
    assert.equal(retryDelayMs({ attempts: 11, random: MIDDLE, retryAfterMs: 1, slowDown: true }), undefined);
    assert.equal(retryDelayMs({ attempts: 500, random: MIDDLE }), undefined);
  });

  const cases: [string, Parameters<typeof retryDelayMs>[0], number][] = [
    ['a minute where the consumer is too slow', { attempts: 1, random: 0.99, slowDown: true }, MINUTE],
    ['the schedule where that is longer', { attempts: 2, random: MIDDLE, slowDown: true }, 5 * MINUTE],
    [
      'a Retry-After longer than the schedule',
      { attempts: 1, random: MIDDLE, retryAfterMs: 90 * SECOND },
      90 * SECOND,
    ],
    ['no less for a shorter Retry-After', { attempts: 2, random: MIDDLE, retryAfterMs: SECOND }, 5 * MINUTE],
    ['a day for a Retry-After of a year', { attempts: 1, random: 0, retryAfterMs: 8760 * HOUR }, 24 * HOUR],
    [
      'a day for one without end',
      { attempts: 1, random: 0, retryAfterMs: Number.POSITIVE_INFINITY },
      24 * HOUR,
    ],
    [
      'the longest of all three',
      { attempts: 1, random: MIDDLE, retryAfterMs: 30 * SECOND, slowDown: true },
      MINUTE,
    ],
    ['no less for none', { attempts: 1, random: MIDDLE, retryAfterMs: undefined }, 5 * SECOND],
  ];
  for (const [name, failure, waitMs] of cases)
    test(`waits ${name}`, () => assert.equal(retryDelayMs(failure), waitMs));
});

describe('parseRetryAfter', () => {
  const now = new Date('1994-11-06T08:49:00Z');
  const table: [string | undefined, number | undefined][] = [
    ['0', 0],
    ['120', 120 * SECOND],
    [' 7 ', 7 * SECOND],
    ['Sun, 06 Nov 1994 08:49:37 GMT', 37 * SECOND],
    ['Sunday, 06-Nov-94 08:49:37 GMT', 37 * SECOND],
    ['Sun Nov  6 08:49:37 1994', 37 * SECOND],
    ['Sun, 06 Nov 1994 08:48:37 GMT', 0],
    ['Sun, 06 Nov 1994 25:49:37 GMT', undefined],
    ['Sun, 06 Foo 1994 08:49:37 GMT', undefined],
    ['1994-11-06T08:49:37Z', undefined],
    ['try 5', undefined],
    ['-5', undefined],
    ['1.5', undefined],
    ['0x10', undefined],
    ['1e3', undefined],
    ['', undefined],
    [undefined, undefined],
  ];
  for (const [header, waitMs] of table)
    test(`reads ${JSON.stringify(header)} as ${waitMs}`, () =>
      assert.equal(parseRetryAfter(header, now), waitMs));

  test('reads more digits than a number holds as a very long wait', () => {
    assert.equal(parseRetryAfter('9'.repeat(400), now), Number.POSITIVE_INFINITY);
  });
});
