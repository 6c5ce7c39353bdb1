import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  countFault,
  type FaultCount,
  MAX_AUTH_FAILURES,
  PROVEN_AFTER_MS,
  type SourceFault,
  sourceRetryMs,
} from '../../src/core/source-retry.ts';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const FAULTS: readonly SourceFault[] = [
  ...(['network', 'tls', 'auth', 'throttle', 'folder', 'protocol', 'quota', 'store', 'internal'] as const),
];
const ALMOST_ONE = 1 - Number.EPSILON;

describe('sourceRetryMs', () => {
  const table: [SourceFault, failures: number, leastMs: number, mostMs: number][] = [
    ['network', 1, 0, 2 * SECOND],
    ['network', 2, 12 * SECOND, 20 * SECOND],
    ['network', 3, 12 * SECOND, 20 * SECOND],
    ['network', 100_000, 12 * SECOND, 20 * SECOND],
    ['protocol', 1, 12 * SECOND, 15 * SECOND],
    ['protocol', 2, 12 * SECOND, 30 * SECOND],
    ['protocol', 5, 12 * SECOND, 4 * MINUTE],
    ['protocol', 7, 12 * SECOND, 15 * MINUTE],
    ['protocol', 9000, 12 * SECOND, 15 * MINUTE],
    ['tls', 1, MINUTE, 1.5 * MINUTE],
    ['tls', 2, 2 * MINUTE, 3 * MINUTE],
    ['tls', 9000, 20 * MINUTE, 30 * MINUTE],
    ['throttle', 1, 2.5 * MINUTE, 5 * MINUTE],
    ['throttle', 2, 5 * MINUTE, 10 * MINUTE],
    ['throttle', 5, 30 * MINUTE, HOUR],
    ['throttle', 9000, 30 * MINUTE, HOUR],
    ['quota', 1, 30 * MINUTE, 45 * MINUTE],
    ['quota', 9000, 4 * HOUR, 6 * HOUR],
    ['folder', 1, 15 * MINUTE, 22.5 * MINUTE],
    ['folder', 9000, 4 * HOUR, 6 * HOUR],
    ['auth', 1, 10 * MINUTE, 12 * MINUTE],
    ['auth', MAX_AUTH_FAILURES, 10 * MINUTE, 12 * MINUTE],
    ['store', 1, 5 * SECOND, 10 * SECOND],
    ['store', 2, 10 * SECOND, 20 * SECOND],
    ['store', 4, 10 * SECOND, MINUTE],
    ['store', 9000, 10 * SECOND, MINUTE],
    ['internal', 1, 30 * SECOND, 45 * SECOND],
    ['internal', 9000, 400 * SECOND, 10 * MINUTE],
  ];
  for (const [fault, failures, leastMs, mostMs] of table)
    test(`waits ${leastMs / SECOND} to ${mostMs / SECOND} s after ${fault} number ${failures}`, () => {
      assert.equal(sourceRetryMs(fault, failures, 0), leastMs);
      assert.equal(sourceRetryMs(fault, failures, ALMOST_ONE), mostMs);
    });

  const failures = fc.integer({ min: 1, max: 1_000_000 });
  const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

  test('answers whole ms within the widest bounds, and comes back to a dead network within 30 s', () => {
    fc.assert(
      fc.property(fc.constantFrom(...FAULTS), failures, random, (fault, count, at) => {
        const waitMs = sourceRetryMs(fault, count, at);
        assert.ok(Number.isInteger(waitMs) && waitMs >= 0 && waitMs <= 6 * HOUR, String(waitMs));
        if (fault === 'network') assert.ok(waitMs < 30 * SECOND);
        if (fault === 'auth') assert.ok(waitMs >= 10 * MINUTE);
      }),
    );
  });

  /** When a source logs in whose every try fails in no time; the first try follows on a proven session. */
  function loginTimes(faults: readonly SourceFault[], randoms: readonly number[]): number[] {
    let nowMs = 0;
    let count: FaultCount | null = null;
    return faults.map((fault, index) => {
      count = countFault(count, fault, index === 0);
      nowMs += sourceRetryMs(fault, count.failures, randoms[index] ?? 0);
      return nowMs;
    });
  }

  function assertSparse(times: readonly number[]): void {
    for (const start of times) {
      const within = times.filter((at) => at >= start && at < start + MINUTE);
      assert.ok(within.length <= 6, `${within.length} logins within a minute: ${within.join(' ')}`);
    }
  }

  const randoms = fc.array(random, { minLength: 40, maxLength: 40 });

  for (const fault of FAULTS)
    test(`logs in at most 6 times in any minute when each try meets ${fault}`, () => {
      fc.assert(fc.property(randoms, (at) => assertSparse(loginTimes(new Array(40).fill(fault), at))));
      assertSparse(loginTimes(new Array(40).fill(fault), []));
    });

  test('logs in at most 6 times in any minute when all faults take turns', () => {
    const faults = fc.array(fc.constantFrom(...FAULTS), { minLength: 40, maxLength: 40 });
    fc.assert(fc.property(faults, randoms, (list, at) => assertSparse(loginTimes(list, at))));
    const worst = Array.from({ length: 40 }, (_, i): SourceFault => (i % 2 === 0 ? 'network' : 'store'));
    assertSparse(loginTimes(worst, []));
  });
});

describe('countFault', () => {
  const table: [string, FaultCount | null, SourceFault, isProven: boolean, failures: number][] = [
    ['1 after a proven session', { fault: 'network', failures: 9 }, 'network', true, 1],
    ['1 after a proven session of no faults', null, 'network', true, 1],
    ['one more of the same', { fault: 'tls', failures: 3 }, 'tls', false, 4],
    ['1 of another class', { fault: 'network', failures: 9 }, 'auth', false, 1],
    ['2 where 1 would be quick', { fault: 'protocol', failures: 9 }, 'network', false, 2],
    ['2 where 1 would be quick', { fault: 'network', failures: 9 }, 'store', false, 2],
    ['2 of a network that never was', null, 'network', false, 2],
    ['1 of a password that never was right', null, 'auth', false, 1],
  ];
  for (const [name, before, fault, isProven, failures] of table)
    test(`counts ${name} (${fault} after ${before?.fault ?? 'nothing'})`, () =>
      assert.deepEqual(countFault(before, fault, isProven), { fault, failures }));

  test('takes five minutes for a proof', () => assert.equal(PROVEN_AFTER_MS, 5 * MINUTE));
});
