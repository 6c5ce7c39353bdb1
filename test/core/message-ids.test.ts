import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { readMessageIds } from '../../src/core/message-ids.ts';

describe('readMessageIds', () => {
  const table: [string, string, string[]][] = [
    ['reads one id', '<a@example.com>', ['<a@example.com>']],
    ['keeps the order', '<b@example.com> <a@example.com>', ['<b@example.com>', '<a@example.com>']],
    ['needs no blank between ids', '<a@example.com><b@example.com>', ['<a@example.com>', '<b@example.com>']],
    ['tells each id once', '<a@example.com>\t<a@example.com>', ['<a@example.com>']],
    ['leaves comments and phrases out', 'Your mail of Monday <a@example.com> (Jane)', ['<a@example.com>']],
    ['drops blanks that folding put into an id', '<a\t b@example.com>', ['<ab@example.com>']],
    [
      'gives brackets to an id without',
      'a@example.com, b@example.com',
      ['<a@example.com>', '<b@example.com>'],
    ],
    [
      'reads ids in encoded words',
      '=?utf-8?Q?=3Ca=40example=2Ecom=3E?= <b@example.com>',
      ['<a@example.com>', '<b@example.com>'],
    ],
    ['takes an id without an @ by its brackets', '<20240101.abc>', ['<20240101.abc>']],
    ['finds none in a phrase', 'Your mail of Monday', []],
    ['finds none in empty brackets', '<> < >', []],
    ['finds none in nothing', '', []],
    ['takes nothing longer than a line for an id', `<${'a'.repeat(997)}>`, []],
    ['measures an id in bytes', `<${'é'.repeat(499)}>`, []],
    ['is not held up by brackets nobody closes', '<a'.repeat(500_000), []],
  ];
  for (const [claim, value, expected] of table)
    test(claim, () => assert.deepEqual(readMessageIds(value), expected));
});
