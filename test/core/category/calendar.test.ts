import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { CalendarEvent } from '../../../src/core/category/schema.ts';
import { multipart } from '../../support/raw-mail.ts';
import { categoryOf } from './category-of.ts';

const BERLIN = `BEGIN:VTIMEZONE
TZID:W. Europe Standard Time
BEGIN:STANDARD
DTSTART:16010101T030000
TZOFFSETFROM:+0200
TZOFFSETTO:+0100
RRULE:FREQ=YEARLY;INTERVAL=1;BYDAY=-1SU;BYMONTH=10
END:STANDARD
BEGIN:DAYLIGHT
DTSTART:16010101T020000
TZOFFSETFROM:+0100
TZOFFSETTO:+0200
RRULE:FREQ=YEARLY;INTERVAL=1;BYDAY=-1SU;BYMONTH=3
END:DAYLIGHT
END:VTIMEZONE
`;
const vevent = (lines: string) => `BEGIN:VEVENT\nUID:1@example.com\n${lines}\nEND:VEVENT\n`;
const calendar = (content: string, method = 'METHOD:REQUEST\n') =>
  `BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//Example//EN\n${method}${content}END:VCALENDAR\n`;
const alternative = (ics: string, type = 'text/calendar; charset=utf-8; method=REQUEST') =>
  multipart('alternative', [
    'Content-Type: text/plain\n\nYou are invited.',
    `Content-Type: ${type}\n\n${ics}`,
  ]);
const invitation = (lines: string) => alternative(calendar(vevent(lines)));

const bare: CalendarEvent = {
  method: 'REQUEST',
  uid: '1@example.com',
  start: null,
  end: null,
  allDay: false,
  timeZone: null,
  recurring: false,
  recurrenceId: null,
  sequence: null,
  summary: null,
  location: null,
  organizer: null,
};
const DAY = 'DTSTART;VALUE=DATE:20240501';
const day = { ...bare, start: '2024-05-01', allDay: true };

describe('calendar', () => {
  const table: [string, string, CalendarEvent | null][] = [
    [
      'all that an invitation says',
      alternative(
        calendar(
          BERLIN +
            vevent(
              'SUMMARY:Lunch\\, and\\nmore\nLOCATION:Café\nORGANIZER;CN="Ada, A.":MAILTO:ada@example.com\nSEQUENCE:2\n' +
                'DTSTART;TZID=W. Europe Standard Time:20240501T120000\nDTEND;TZID=W. Europe Standard Time:20240501T130000\n' +
                'RRULE:FREQ=WEEKLY;COUNT=10',
            ),
        ),
      ),
      {
        ...bare,
        start: '2024-05-01T10:00:00.000Z',
        end: '2024-05-01T11:00:00.000Z',
        timeZone: 'W. Europe Standard Time',
        recurring: true,
        sequence: 2,
        summary: 'Lunch, and more',
        location: 'Café',
        organizer: { name: 'Ada, A.', address: 'ada@example.com' },
      },
    ],
    ['a day', invitation(DAY), day],
    [
      'the day after the last',
      invitation(`${DAY}\nDTEND;VALUE=DATE:20240503`),
      { ...day, end: '2024-05-03' },
    ],
    ['days by their number', invitation(`${DAY}\nDURATION:P2D`), { ...day, end: '2024-05-03' }],
    ['a time of UTC', invitation('DTSTART:20240501T100000Z'), { ...bare, start: '2024-05-01T10:00:00.000Z' }],
    ['a time of nowhere', invitation('DTSTART:20240501T100000'), { ...bare, start: '2024-05-01T10:00:00' }],
    [
      'a time of a zone nobody knows',
      invitation('DTSTART;TZID=Middle Earth:20240501T100000\nDURATION:PT90M'),
      { ...bare, start: '2024-05-01T10:00:00', end: '2024-05-01T11:30:00', timeZone: 'Middle Earth' },
    ],
    [
      'an end by hours',
      invitation('DTSTART:20240501T100000Z\nDURATION:P1DT1H30M'),
      { ...bare, start: '2024-05-01T10:00:00.000Z', end: '2024-05-02T11:30:00.000Z' },
    ],
    [
      'no end before the start',
      invitation('DTSTART:20240501T100000Z\nDURATION:-PT1H'),
      { ...bare, start: '2024-05-01T10:00:00.000Z' },
    ],
    [
      'one of a series',
      invitation(`${DAY}\nRECURRENCE-ID:20240430T100000Z`),
      { ...day, recurrenceId: '2024-04-30T10:00:00.000Z' },
    ],
    [
      'the series before its exceptions',
      alternative(calendar(vevent('RECURRENCE-ID:20240430T100000Z') + vevent(`${DAY}\nRRULE:FREQ=DAILY`))),
      { ...day, recurring: true },
    ],
    [
      'a calendar as a file',
      multipart('mixed', [
        `Content-Type: application/ics; name=a.ics\nContent-Disposition: attachment\n\n${calendar(vevent(DAY))}`,
      ]),
      day,
    ],
    [
      'a file of an unknown type',
      multipart('mixed', [
        `Content-Type: application/octet-stream\nContent-Disposition: attachment; filename=Invite.ICS\n\n${calendar(vevent(DAY))}`,
      ]),
      day,
    ],
    ['a mail that is nothing but a calendar', `Content-Type: text/calendar\n\n${calendar(vevent(DAY))}`, day],
    ['the method that the part declares', alternative(calendar(vevent(DAY), '')), day],
    [
      'the method of the calendar before it',
      alternative(calendar(vevent(DAY), 'METHOD:cancel\n')),
      { ...day, method: 'CANCEL' },
    ],
    [
      'no method where none is told',
      alternative(calendar(vevent(DAY), ''), 'text/calendar'),
      { ...day, method: '' },
    ],
    ['an event without a start', invitation('SUMMARY:x'), { ...bare, summary: 'x' }],
    ['without a day that is none', invitation('DTSTART:20240631T100000Z'), bare],
    [
      'the next calendar where one is broken',
      multipart('mixed', [
        'Content-Type: text/calendar\n\nBEGIN:VCALENDAR',
        `Content-Type: text/calendar\n\n${calendar(vevent(DAY), '')}`,
      ]),
      { ...day, method: '' },
    ],
    ['null for a broken one', alternative('BEGIN:VCALENDAR\nBEGIN:VEVENT\n'), null],
    ['null for what is none', alternative('Hello'), null],
    ['null for nothing', alternative(''), null],
    ['null for a task', alternative(calendar('BEGIN:VTODO\nUID:1\nEND:VTODO\n')), null],
    ['null for a card', alternative('BEGIN:VCARD\nFN:x\nEND:VCARD\n'), null],
    ['null for one of 257 KiB', alternative(calendar(vevent(`DESCRIPTION:${'x'.repeat(257 * 1024)}`))), null],
  ];
  for (const [what, mail, expected] of table)
    test(`is ${what}`, async () => assert.deepEqual((await categoryOf(mail)).calendar, expected));

  test('has texts of at most 1,000 characters', async () => {
    const { calendar: event } = await categoryOf(
      invitation(`SUMMARY:${'a'.repeat(3_000)}\nORGANIZER;CN=${'b'.repeat(3_000)}:mailto:a@example.com`),
    );
    assert.deepEqual([event?.summary?.length, event?.organizer?.name.length], [1_000, 1_000]);
  });
});

describe('a time in a zone', () => {
  const local = (tzid: string, time: string, zones = '') =>
    alternative(calendar(zones + vevent(`DTSTART;TZID=${tzid}:${time}`)));
  const rules = (rrule: string) => BERLIN.replaceAll(/RRULE:.*/g, rrule);
  const table: [string, string, string, string, string][] = [
    ['winter by rules', 'W. Europe Standard Time', '20240115T120000', BERLIN, '2024-01-15T11:00:00.000Z'],
    [
      'the last second of winter by rules',
      'W. Europe Standard Time',
      '20240331T015959',
      BERLIN,
      '2024-03-31T00:59:59.000Z',
    ],
    [
      'a time that is skipped, by rules',
      'W. Europe Standard Time',
      '20240331T023000',
      BERLIN,
      '2024-03-31T01:30:00.000Z',
    ],
    [
      'the first second of summer by rules',
      'W. Europe Standard Time',
      '20240331T030000',
      BERLIN,
      '2024-03-31T01:00:00.000Z',
    ],
    [
      'a time that comes twice, by rules',
      'W. Europe Standard Time',
      '20241027T023000',
      BERLIN,
      '2024-10-27T00:30:00.000Z',
    ],
    [
      'winter by its name in Windows',
      'W. Europe Standard Time',
      '20240115T120000',
      '',
      '2024-01-15T11:00:00.000Z',
    ],
    [
      'summer by its name in Windows',
      'Eastern Standard Time',
      '20240715T120000',
      '',
      '2024-07-15T16:00:00.000Z',
    ],
    ['a fixed zone of Windows', 'UTC-11', '20240715T120000', '', '2024-07-15T23:00:00.000Z'],
    ['summer by its name', 'America/St_Johns', '20240715T120000', '', '2024-07-15T14:30:00.000Z'],
    [
      'a name with a path',
      '/freeassociation.sourceforge.net/Europe/Berlin',
      '20240715T120000',
      '',
      '2024-07-15T10:00:00.000Z',
    ],
    ['a time that is skipped, by name', 'Europe/Berlin', '20240331T023000', '', '2024-03-31T01:30:00.000Z'],
    ['a time that comes twice, by name', 'Europe/Berlin', '20241027T023000', '', '2024-10-27T00:30:00.000Z'],
    [
      'a hostile rule, by name',
      'W. Europe Standard Time',
      '20240715T120000',
      rules('RRULE:FREQ=SECONDLY'),
      '2024-07-15T10:00:00.000Z',
    ],
    [
      'a rule that has ended',
      'W. Europe Standard Time',
      '20240715T120000',
      rules('RRULE:FREQ=YEARLY;UNTIL=20000101T000000Z;BYMONTH=1'),
      '2024-07-15T11:00:00.000Z',
    ],
    [
      'a rule by days of the month',
      'X',
      '20240310T030000',
      'BEGIN:VTIMEZONE\nTZID:X\nBEGIN:DAYLIGHT\nDTSTART:20000101T020000\nTZOFFSETFROM:-0500\nTZOFFSETTO:-0400\nRRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=SU;BYMONTHDAY=8,9,10,11,12,13,14\nEND:DAYLIGHT\nBEGIN:STANDARD\nDTSTART:20001101T020000\nTZOFFSETFROM:-0400\nTZOFFSETTO:-0500\nRDATE:20231101T020000\nEND:STANDARD\nEND:VTIMEZONE\n',
      '2024-03-10T07:00:00.000Z',
    ],
    [
      'a zone without changes',
      'Y',
      '20240715T120000',
      'BEGIN:VTIMEZONE\nTZID:Y\nBEGIN:STANDARD\nDTSTART:19700101T000000\nTZOFFSETFROM:+0530\nTZOFFSETTO:+0530\nEND:STANDARD\nEND:VTIMEZONE\n',
      '2024-07-15T06:30:00.000Z',
    ],
  ];
  for (const [what, tzid, time, zones, expected] of table)
    test(`is UTC in ${what}`, async () =>
      assert.equal((await categoryOf(local(tzid, time, zones))).calendar?.start, expected));

  test('is the same by rules and by name in every hour of a year', async () => {
    for (let ms = Date.UTC(2024, 0, 1); ms < Date.UTC(2025, 0, 1); ms += 37 * 3_600_000) {
      const time = new Date(ms).toISOString().replace(/[-:]|\.000Z/g, '');
      const [byRules, byName] = await Promise.all(
        [BERLIN, ''].map((zones) => categoryOf(local('W. Europe Standard Time', time, zones))),
      );
      assert.equal(byRules?.calendar?.start, byName?.calendar?.start, time);
    }
  });
});
