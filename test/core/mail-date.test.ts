import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isoTime, readMailDate } from '../../src/core/mail-date.ts';

describe('readMailDate', () => {
  const readable: [string, string][] = [
    ['Mon, 1 Jan 2024 10:00:00 +0100', '2024-01-01T09:00:00.000Z'],
    ['Mon, 01 Jan 2024 10:00:00 -0930', '2024-01-01T19:30:00.000Z'],
    ['1 Jan 2024 10:00 +0000', '2024-01-01T10:00:00.000Z'],
    ['Mon,  1  Jan  2024  10:00:00  GMT', '2024-01-01T10:00:00.000Z'],
    ['Mon, 1 Jan 2024 10:00:00 +0000 (Coordinated Universal Time)', '2024-01-01T10:00:00.000Z'],
    ['Mon, 1 Jan 2024 10:00:00 EST', '2024-01-01T15:00:00.000Z'],
    ['Mon, 1 Jan 2024 10:00:00 pdt', '2024-01-01T17:00:00.000Z'],
    ['Mon, 1 Jan 2024 10:00:00 CEST', '2024-01-01T10:00:00.000Z'],
    ['Mon, 1 Jan 2024 10:00:00', '2024-01-01T10:00:00.000Z'],
    ['1 Jan 24 10:00:00 +0000', '2024-01-01T10:00:00.000Z'],
    ['1 Jan 99 10:00:00 +0000', '1999-01-01T10:00:00.000Z'],
    ['1 Jan 101 10:00:00 +0000', '2001-01-01T10:00:00.000Z'],
    ['Monday, 01-January-2024 10:00:00 +01:00', '2024-01-01T09:00:00.000Z'],
    ['Mon, 1 Jan 2024 9:00:00.123 Z', '2024-01-01T09:00:00.000Z'],
    ['Thu, 29 Feb 2024 23:59:60 +0000', '2024-02-29T23:59:59.000Z'],
    ['Fri, 31 Dec 9999 23:00:00 +0000', '9999-12-31T23:00:00.000Z'],
  ];
  for (const [value, expected] of readable)
    test(`reads ${value}`, () => assert.equal(readMailDate(value), expected));

  const unreadable = [
    '',
    'yesterday',
    'room 12',
    'Mon, 32 Jan 2024 10:00:00 +0000',
    'Mon, 30 Feb 2024 10:00:00 +0000',
    'Mon, 1 Foo 2024 10:00:00 +0000',
    'Mon, 1 Jan 2024 24:00:00 +0000',
    'Mon, 1 Jan 2024 10:60:00 +0000',
    'lun., 1 janv. 2024 10:00:00 +0000 de trop',
    'Fri, 31 Dec 9999 23:30:00 -0100',
    'Mon, 1 Jan 0000 10:00:00 +0000',
    'Mon, 1 Jan 12024 10:00:00 +0000',
    '('.repeat(1_000_000),
    `Mon,${' '.repeat(1_000_000)}1 Jan 2024 10:00:00 +0000`,
  ];
  for (const value of unreadable)
    test(`does not take ${JSON.stringify(value.slice(0, 50))} for a date`, () =>
      assert.equal(readMailDate(value), null));
});

describe('isoTime', () => {
  const table: [string, Date, string | null][] = [
    ['writes milliseconds', new Date(1), '1970-01-01T00:00:00.001Z'],
    [
      'writes the last moment of four digits',
      new Date('9999-12-31T23:59:59.999Z'),
      '9999-12-31T23:59:59.999Z',
    ],
    ['has nothing for the year 10000', new Date(253_402_300_800_000), null],
    ['has nothing for the year 0', new Date('0000-06-01T00:00:00Z'), null],
    ['has nothing for an invalid date', new Date(Number.NaN), null],
  ];
  for (const [claim, date, expected] of table) test(claim, () => assert.equal(isoTime(date), expected));
});
