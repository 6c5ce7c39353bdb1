import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { findBodyStart, leadingHeaders, linesOf } from '../../src/core/header-block.ts';

const textOf = (bytes: Uint8Array) => Buffer.from(bytes).toString();

describe('findBodyStart', () => {
  const table: [string, string, string][] = [
    ['is behind the blank line', 'A: b\r\n\r\nbody\r\n\r\nmore', 'body\r\n\r\nmore'],
    ['takes LF alone', 'A: b\n\nbody', 'body'],
    ['takes stray CRs before the LF', 'A: b\r\r\n\r\r\nbody', 'body'],
    ['does not take a line of spaces for blank', 'A: b\r\n \r\nC: d\r\n\r\nbody', 'body'],
    ['is at once where the mail begins with a blank line', '\r\nbody', 'body'],
    ['is the end where there is no blank line', 'A: b\r\nC: d', ''],
    ['is the end of nothing', '', ''],
  ];
  for (const [claim, mail, body] of table)
    test(claim, () => assert.equal(mail.slice(findBodyStart(Buffer.from(mail))), body));
});

describe('leadingHeaders', () => {
  const table: [string, string, number, string][] = [
    ['gives all headers without the blank line', 'A: b\r\nC: d\r\n\r\nbody', 1000, 'A: b\r\nC: d\r\n'],
    ['gives a block without a blank line as it is', 'A: b\r\nC: d', 1000, 'A: b\r\nC: d'],
    ['leaves out a header that does not fit', 'A: b\nC: d\n\nbody', 8, 'A: b\n'],
    ['leaves out a folded header that does not fit as a whole', 'A: b\nC: d\n e\n f\nG: h\n\n', 12, 'A: b\n'],
    ['gives nothing where the first does not fit', 'A: b\n', 3, ''],
    ['gives what fits exactly', 'A: b\nC: d\n', 10, 'A: b\nC: d\n'],
  ];
  for (const [claim, mail, limitBytes, expected] of table)
    test(claim, () => assert.equal(textOf(leadingHeaders(Buffer.from(mail), limitBytes)), expected));
});

test('linesOf gives each line with its end, and the last without', () => {
  assert.deepEqual([...linesOf(Buffer.from('a\r\n\nb'))].map(textOf), ['a\r\n', '\n', 'b']);
});
