import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { canonicalGmailId, gmailIdFromDecimal } from '../../src/core/gmail-id.ts';

describe('canonicalGmailId', () => {
  const table: [string, string][] = [
    ['18c0ffee12345678', '18c0ffee12345678'],
    ['18C0FFEE12345678', '18c0ffee12345678'],
    ['0018c0ffee', '18c0ffee'],
    ['000', '0'],
    ['msg_ABC', 'msg_ABC'],
    ['0msg', '0msg'],
  ];
  for (const [id, expected] of table)
    test(`${id} is ${expected}`, () => assert.equal(canonicalGmailId(id), expected));
});

describe('gmailIdFromDecimal', () => {
  const table: [string, string][] = [
    ['1278455344230334865', '11bdfc5cae0c8191'],
    ['18446744073709551615', 'ffffffffffffffff'],
    // Beyond 2^53: a double would end in ...800.
    ['9007199254740993', '20000000000001'],
    ['0', '0'],
    ['0042', '2a'],
  ];
  for (const [decimal, expected] of table)
    test(`${decimal} is ${expected}`, () => assert.equal(gmailIdFromDecimal(decimal), expected));

  for (const decimal of ['', '12a', '-1', '1.5', '0x10', '123456789012345678901'])
    test(`refuses ${JSON.stringify(decimal)}`, () =>
      assert.throws(() => gmailIdFromDecimal(decimal), { code: 'bad_request' }));
});
