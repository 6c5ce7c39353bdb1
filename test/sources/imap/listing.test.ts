import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { rangesOf } from '../../../src/sources/imap/listing.ts';

const TABLE: readonly (readonly [number[], string])[] = [
  [[], ''],
  [[1], '1'],
  [[1, 2], '1:2'],
  [[1, 2, 3, 7], '1:3,7'],
  [[5, 7, 9], '5,7,9'],
  [[4_294_967_294, 4_294_967_295], '4294967294:4294967295'],
];

describe('UIDs as a sequence set', () => {
  for (const [uids, set] of TABLE) {
    test(`${JSON.stringify(uids)} are "${set}"`, () => assert.equal(rangesOf(uids), set));
  }

  test('name exactly those UIDs, whichever they are', () => {
    fc.assert(
      fc.property(uidsArbitrary(), (uids) => {
        assert.deepEqual(expand(rangesOf(uids)), uids);
      }),
    );
  });

  test('are no longer than they have to be: no two ranges touch', () => {
    fc.assert(
      fc.property(uidsArbitrary(), (uids) => {
        const ends = rangesOf(uids)
          .split(',')
          .filter((part) => part !== '')
          .map((part) => part.split(':').map(Number));
        for (const [at, [start = 0]] of ends.entries()) {
          const before = ends[at - 1]?.at(-1);
          assert.ok(before === undefined || start > before + 1);
        }
      }),
    );
  });
});

/** In order, each once, dense and far apart alike. */
function uidsArbitrary(): fc.Arbitrary<number[]> {
  const uid = fc.oneof(
    fc.integer({ min: 1, max: 30 }),
    fc.integer({ min: 1, max: 2 ** 32 - 1 }),
    fc.integer({ min: 2 ** 32 - 5, max: 2 ** 32 - 1 }),
  );
  return fc.uniqueArray(uid, { maxLength: 60 }).map((uids) => uids.sort((a, b) => a - b));
}

function expand(set: string): number[] {
  if (set === '') return [];
  return set.split(',').flatMap((part) => {
    const [start = 0, end = start] = part.split(':').map(Number);
    return Array.from({ length: end - start + 1 }, (_, at) => start + at);
  });
}
