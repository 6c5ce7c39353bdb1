import { type Fixture, header } from './fixture.ts';

const at = '2024-01-01T10:00:00.000Z';

const dates: [claim: string, date: string, expected: string | null][] = [
  ['reads a date', 'Mon, 1 Jan 2024 10:00:00 +0000', at],
  ['reads a date with a zone', 'Mon, 1 Jan 2024 11:30:00 +0130', at],
  ['reads a date west of Greenwich', 'Mon, 1 Jan 2024 02:00:00 -0800', at],
  ['reads a date without a weekday', '1 Jan 2024 10:00:00 +0000', at],
  ['reads a date with a wrong weekday', 'Sun, 1 Jan 2024 10:00:00 +0000', at],
  ['reads a date without seconds', 'Mon, 1 Jan 2024 10:00 +0000', at],
  ['reads a day of two digits', 'Mon, 01 Jan 2024 10:00:00 +0000', at],
  ['reads a date with a comment', 'Mon, 1 Jan 2024 10:00:00 +0000 (UTC)', at],
  ['reads a date with its zone in a comment alone', 'Mon, 1 Jan 2024 10:00:00 (UTC)', at],
  ['reads GMT', 'Mon, 1 Jan 2024 10:00:00 GMT', at],
  ['reads EST', 'Mon, 1 Jan 2024 05:00:00 EST', at],
  ['reads a zone that nobody knows as UTC', 'Mon, 1 Jan 2024 10:00:00 XYZ', at],
  ['reads a zone with a colon', 'Mon, 1 Jan 2024 11:00:00 +01:00', at],
  ['reads a date without a zone as UTC', 'Mon, 1 Jan 2024 10:00:00', at],
  ['reads a year of two digits', 'Mon, 1 Jan 24 10:00:00 +0000', at],
  [
    'reads a year of two digits of the last century',
    'Fri, 1 Jan 99 10:00:00 +0000',
    '1999-01-01T10:00:00.000Z',
  ],
  ['reads a year of three digits', 'Mon, 1 Jan 124 10:00:00 +0000', at],
  ['reads a date in dashes', '1-Jan-2024 10:00:00 +0000', at],
  ['reads a month in full', 'Monday, 1 January 2024 10:00:00 +0000', at],
  ['reads a date in capitals', 'MON, 1 JAN 2024 10:00:00 +0000', at],
  ['reads a fraction of a second, and drops it', 'Mon, 1 Jan 2024 10:00:00.5 +0000', at],
  ['reads a folded date', 'Mon,\n 1 Jan 2024\n 10:00:00 +0000', at],
  ['reads blanks beyond need', 'Mon,  1  Jan 2024   10:00:00   +0000', at],
  ['reads a leap second', 'Sat, 31 Dec 2016 23:59:60 +0000', '2016-12-31T23:59:59.000Z'],
  ['reads a leap day', 'Thu, 29 Feb 2024 10:00:00 +0000', '2024-02-29T10:00:00.000Z'],
  ['reads the year 99', 'Thu, 1 Jan 0099 10:00:00 +0000', '0099-01-01T10:00:00.000Z'],
  ['reads a date across the end of a year', 'Mon, 1 Jan 2024 00:30:00 +0100', '2023-12-31T23:30:00.000Z'],
  ['knows no 30 February', 'Fri, 30 Feb 2024 10:00:00 +0000', null],
  ['knows no leap day in 2023', 'Wed, 29 Feb 2023 10:00:00 +0000', null],
  ['knows no day 0', 'Mon, 0 Jan 2024 10:00:00 +0000', null],
  ['knows no hour 24', 'Mon, 1 Jan 2024 24:00:00 +0000', null],
  ['knows no minute 60', 'Mon, 1 Jan 2024 10:60:00 +0000', null],
  ['knows no month of no name', 'Mon, 1 Foo 2024 10:00:00 +0000', null],
  ['does not guess at numbers', '01/02/2024 10:00:00', null],
  ['does not read ISO 8601', '2024-01-01T10:00:00Z', null],
  [
    'reads a month in French, as far as it begins as in English',
    'lun., 1 janv. 2024 10:00:00 +0000',
    '2024-01-01T10:00:00.000Z',
  ],
  ['does not read words', 'yesterday', null],
];

export const dateFixtures: readonly Fixture[] = [
  ...dates.map(
    ([name, date, expected]): Fixture => ({
      name,
      mail: header(`Date: ${date}`),
      expect: { date: expected, parse: expected === null ? 'partial' : 'ok' },
    }),
  ),
  { name: 'takes an empty date for none', mail: header('Date:'), expect: { date: null, parse: 'ok' } },
  {
    name: 'reads the first of two dates',
    mail: header('Date: Mon, 1 Jan 2024 10:00:00 +0000\nDate: Tue, 2 Jan 2024 10:00:00 +0000'),
    expect: { date: at },
  },
  {
    name: 'does not take the date of a Received for the date',
    mail: header('Received: by mx.example.org; Mon, 1 Jan 2024 10:00:00 +0000'),
    expect: { date: null, parse: 'ok' },
  },
];
