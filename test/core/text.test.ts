import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  collapseBlanks,
  cutToLength,
  cutToUtf8Bytes,
  onOneLine,
  repairStrings,
  toStorable,
} from '../../src/core/text.ts';

describe('toStorable', () => {
  const table: [string, string, string][] = [
    ['leaves good text as it is', 'grüße 😀', 'grüße 😀'],
    ['replaces U+0000', 'a\0b\0', 'a\ufffdb\ufffd'],
    ['replaces a lone high surrogate', 'a\ud83d', 'a\ufffd'],
    ['replaces a lone low surrogate', '\ude00b', '\ufffdb'],
    ['replaces U+0000 in a long text', 'é\0\ud83d😀'.repeat(100_000), 'é\ufffd\ufffd😀'.repeat(100_000)],
    ['replaces both', '\0\ud83d😀', '\ufffd\ufffd😀'],
  ];
  for (const [claim, text, expected] of table) test(claim, () => assert.equal(toStorable(text), expected));
});

describe('repairStrings', () => {
  test('repairs strings at any depth and says so', () => {
    const tree = { a: 'x\0', list: [['ok', '\ud800']], n: 1, none: null };
    assert.equal(repairStrings(tree), true);
    assert.deepEqual(tree, { a: 'x\ufffd', list: [['ok', '\ufffd']], n: 1, none: null });
  });

  test('says that nothing was to repair', () => {
    assert.equal(repairStrings({ a: 'x', list: [{ b: 'y' }], none: null }), false);
  });
});

describe('cutToUtf8Bytes', () => {
  const table: [string, number, string][] = [
    ['abc', 3, 'abc'],
    ['abc', 2, 'ab'],
    ['abc', 0, ''],
    ['aéb', 2, 'a'],
    ['aéb', 3, 'aé'],
    ['a€b', 3, 'a'],
    ['a€b', 4, 'a€'],
    ['a😀b', 4, 'a'],
    ['a😀b', 5, 'a😀'],
    ['😀', 4, '😀'],
  ];
  for (const [text, limitBytes, expected] of table)
    test(`cuts ${text} at ${limitBytes} bytes to ${JSON.stringify(expected)}`, () =>
      assert.equal(cutToUtf8Bytes(text, limitBytes), expected));
});

describe('cutToLength', () => {
  test('cuts at the limit', () => assert.equal(cutToLength('abcd', 3), 'abc'));
  test('leaves what is short enough', () => assert.equal(cutToLength('abc', 3), 'abc'));
  test('leaves out a pair that would be split', () => assert.equal(cutToLength('ab😀', 3), 'ab'));
  test('keeps a pair that fits', () => assert.equal(cutToLength('a😀b', 3), 'a😀'));
});

test('onOneLine makes line breaks and tabs one space and leaves spaces alone', () => {
  assert.equal(onOneLine('a\r\n\tb  c\nd'), 'a b  c d');
});

describe('collapseBlanks', () => {
  const table: [string, string, string][] = [
    ['makes a run of blanks one space', 'a \r\n\t b\nc', 'a b c'],
    ['takes a no-break space for a blank', 'a\u00a0b', 'a b'],
    ['takes the padding of newsletters for a blank', 'a\u00a0\u200c\u00a0\u034f\u00adb', 'a b'],
    ['keeps the joiner of an emoji', '👩\u200d💻', '👩\u200d💻'],
    ['keeps the non-joiner of a Persian word', 'می\u200cخواهم', 'می\u200cخواهم'],
  ];
  for (const [claim, text, expected] of table)
    test(claim, () => assert.equal(collapseBlanks(text), expected));
});
