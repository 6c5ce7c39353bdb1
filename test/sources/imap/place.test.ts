import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { mailPlaceOf, parseMailPlace, placeOf } from '../../../src/sources/imap/place.ts';

const number = fc.integer({ min: 1, max: 2 ** 32 - 1 });
/** With what stands for something in a place, or in SQL. */
const path = fc.oneof(
  fc.string({ minLength: 1, unit: 'binary' }),
  fc.string({ minLength: 1, unit: fc.constantFrom(...';/=%&"\\ *_ü€😀', 'UID', 'UIDVALIDITY') }),
);

describe('the place of a mail', () => {
  test('is written as RFC 5092 does', () => {
    assert.equal(mailPlaceOf('INBOX', 385_759_045, 20), 'INBOX;UIDVALIDITY=385759045/;UID=20');
  });

  test('tells folder, UIDVALIDITY and UID again, whatever the folder is called', () => {
    fc.assert(
      fc.property(path, number, number, (path, uidValidity, uid) => {
        assert.deepEqual(parseMailPlace(mailPlaceOf(path, uidValidity, uid)), { path, uidValidity, uid });
      }),
    );
  });

  test('begins with the place of its folder, and of no other', () => {
    fc.assert(
      fc.property(path, path, number, number, (path, other, uidValidity, uid) => {
        const place = mailPlaceOf(path, uidValidity, uid);
        assert.ok(place.startsWith(`${placeOf(path, uidValidity)}/;`));
        assert.equal(place.startsWith(`${placeOf(other, uidValidity)}/;`), other === path);
      }),
    );
  });

  for (const text of [
    '',
    'INBOX',
    '18c2f0a1b2c3d4e5',
    'INBOX;UIDVALIDITY=1',
    'INBOX;UIDVALIDITY=1/;UID=',
    'INBOX;UIDVALIDITY=1/;UID=1x',
    'INBOX;UIDVALIDITY=12345678901/;UID=1',
    'a;b;UIDVALIDITY=1/;UID=1',
  ]) {
    test(`"${text}" is none`, () => assert.equal(parseMailPlace(text), undefined));
  }
});
