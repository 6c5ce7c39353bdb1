import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  type ActiveHours,
  activeHoursSchema,
  isActiveAt,
  nextActiveAt,
} from '../../../src/core/rules/active-hours.ts';

const EVERY_DAY = [1, 2, 3, 4, 5, 6, 7];
const WEEKDAYS = [1, 2, 3, 4, 5];

function hours(days: number[], start: string, end: string, timeZone: string): ActiveHours {
  return activeHoursSchema.parse({ days, start, end, timeZone });
}

/*
 * 2026: in Paris clocks go from 2 to 3 on Sunday 29 March (01:00 UTC), and from 3 back to 2 on Sunday 25 October (01:00
 * UTC); in New York on 8 March and 1 November; at Lord Howe by half an hour; in Cairo at midnight, 24 April.
 */
describe('the first minute inside from a time on', () => {
  const PARIS = 'Europe/Paris';
  const office = hours(WEEKDAYS, '09:00', '18:00', PARIS);
  const night = hours([5], '22:00', '06:00', PARIS);
  const gap = hours(EVERY_DAY, '02:30', '04:00', PARIS);
  const twice = hours(EVERY_DAY, '02:30', '03:30', PARIS);
  const swallowed = hours([7], '02:15', '02:45', PARIS);
  const untilMidnight = hours([1], '09:00', '24:00', 'UTC');
  const rows: [name: string, hours: ActiveHours, from: string, first: string][] = [
    ['inside it is the time itself', office, '2026-11-23T12:34:56.789Z', '2026-11-23T12:34:56.789Z'],
    ['before the start, in winter', office, '2026-11-23T07:59:59.999Z', '2026-11-23T08:00:00.000Z'],
    ['at the start', office, '2026-11-23T08:00:00.000Z', '2026-11-23T08:00:00.000Z'],
    ['in the last minute', office, '2026-11-23T16:59:59.999Z', '2026-11-23T16:59:59.999Z'],
    ['at the end: the next day', office, '2026-11-23T17:00:00.000Z', '2026-11-24T08:00:00.000Z'],
    ['in summer an hour earlier', office, '2026-07-06T03:00:00.000Z', '2026-07-06T07:00:00.000Z'],
    ['on Friday evening: on Monday', office, '2026-11-27T17:00:00.000Z', '2026-11-30T08:00:00.000Z'],
    ['over the end of summer time', office, '2026-10-23T16:00:00.000Z', '2026-10-26T08:00:00.000Z'],
    ['over its beginning', office, '2026-03-27T17:00:00.000Z', '2026-03-30T07:00:00.000Z'],
    ['over the end of a year', office, '2027-01-01T17:00:00.000Z', '2027-01-04T08:00:00.000Z'],
    ['past midnight of the day it opened', night, '2026-11-28T04:59:00.000Z', '2026-11-28T04:59:00.000Z'],
    ['past its end: in a week', night, '2026-11-28T05:00:00.000Z', '2026-12-04T21:00:00.000Z'],
    ['past midnight of a day it did not open', night, '2026-11-27T04:00:00.000Z', '2026-11-27T21:00:00.000Z'],
    [
      'a start that is skipped: when clocks are set',
      gap,
      '2026-03-28T20:00:00.000Z',
      '2026-03-29T01:00:00.000Z',
    ],
    ['the day after that', gap, '2026-03-29T02:00:00.000Z', '2026-03-30T00:30:00.000Z'],
    [
      'a window that is skipped: in a week',
      swallowed,
      '2026-03-23T00:00:00.000Z',
      '2026-04-05T00:15:00.000Z',
    ],
    ['the first of two starts', twice, '2026-10-24T20:00:00.000Z', '2026-10-25T00:30:00.000Z'],
    ['between the two: the second', twice, '2026-10-25T01:05:00.000Z', '2026-10-25T01:30:00.000Z'],
    ['until midnight', untilMidnight, '2026-11-23T23:59:00.000Z', '2026-11-23T23:59:00.000Z'],
    ['at midnight: in a week', untilMidnight, '2026-11-24T00:00:00.000Z', '2026-11-30T09:00:00.000Z'],
    [
      'behind UTC, where it is the day before',
      hours([7], '20:00', '21:00', 'America/New_York'),
      '2026-11-22T12:00:00.000Z',
      '2026-11-23T01:00:00.000Z',
    ],
    [
      'New York, the Monday after its summer time began',
      hours([1], '09:00', '17:00', 'America/New_York'),
      '2026-03-07T12:00:00.000Z',
      '2026-03-09T13:00:00.000Z',
    ],
    [
      'ahead by three quarters of an hour',
      hours(EVERY_DAY, '09:00', '10:00', 'Asia/Kathmandu'),
      '2026-11-23T00:00:00.000Z',
      '2026-11-23T03:15:00.000Z',
    ],
    [
      'clocks that are set by half an hour',
      hours(EVERY_DAY, '02:10', '03:00', 'Australia/Lord_Howe'),
      '2026-10-03T12:00:00.000Z',
      '2026-10-03T15:30:00.000Z',
    ],
    [
      'a midnight that is skipped',
      hours([5], '00:00', '00:30', 'Africa/Cairo'),
      '2026-04-18T00:00:00.000Z',
      '2026-04-30T21:00:00.000Z',
    ],
    [
      'a day that a country skipped',
      hours([5], '09:00', '10:00', 'Pacific/Apia'),
      '2011-12-24T00:00:00.000Z',
      '2012-01-05T19:00:00.000Z',
    ],
  ];
  for (const [name, given, from, first] of rows) {
    test(name, () => assert.equal(nextActiveAt(given, new Date(from)).toISOString(), first));
  }
});

test('the first minute inside is inside, and none before it is, in any zone at any time', () => {
  const zones = Intl.supportedValuesOf('timeZone');
  const time = fc.integer({ min: 0, max: 1439 });
  const print = (minutes: number) =>
    `${String(Math.floor(minutes / 60)).padStart(2, '0')}:${String(minutes % 60).padStart(2, '0')}`;
  const given = fc.record({
    days: fc.uniqueArray(fc.constantFrom(...EVERY_DAY), { minLength: 1 }),
    start: time,
    end: time,
    timeZone: fc.constantFrom(...zones),
    from: fc.date({ min: new Date('1975-01-01'), max: new Date('2037-01-01'), noInvalidDate: true }),
  });
  fc.assert(
    fc.property(given, ({ days, start, end, timeZone, from }) => {
      fc.pre(start !== end);
      const window = hours(days, print(start), print(end), timeZone);
      const first = nextActiveAt(window, from);
      assert.ok(first >= from && isActiveAt(window, first), `${first.toISOString()} is not inside`);
      assert.ok(first.getTime() === from.getTime() || first.getTime() % 60_000 === 0);
      // By a clock of its own, minute by minute over the last day, and every quarter of an hour before.
      const wall = new Intl.DateTimeFormat('en-GB', {
        timeZone,
        weekday: 'short',
        hour: '2-digit',
        minute: '2-digit',
        hourCycle: 'h23',
      });
      const isInside = (ms: number) => {
        const parts = Object.fromEntries(wall.formatToParts(ms).map(({ type, value }) => [type, value]));
        const day = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'].indexOf(parts.weekday ?? '') + 1;
        const minute = Number(parts.hour) * 60 + Number(parts.minute);
        if (start < end) return days.includes(day) && start <= minute && minute < end;
        return (
          (days.includes(day) && minute >= start) || (days.includes(day === 1 ? 7 : day - 1) && minute < end)
        );
      };
      assert.ok(isInside(first.getTime()));
      const fromMs = Math.ceil(from.getTime() / 60_000) * 60_000;
      for (
        let ms = first.getTime() - 60_000;
        ms >= fromMs;
        ms -= first.getTime() - ms < 7_200_000 ? 60_000 : 3_540_000
      )
        assert.ok(!isInside(ms), `${new Date(ms).toISOString()} is inside, before ${first.toISOString()}`);
    }),
    { numRuns: 400 },
  );
});

describe('what is no window is refused', () => {
  const good = { days: [1], start: '09:00', end: '18:00', timeZone: 'Europe/Paris' };
  const rows: [name: string, change: Record<string, unknown>][] = [
    ['of no length', { end: '09:00' }],
    ['on no day', { days: [] }],
    ['on day 0', { days: [0] }],
    ['on day 8', { days: [8] }],
    ['at no time of day', { start: '24:00' }],
    ['at 25 o’clock', { end: '25:00' }],
    ['without its zero', { start: '9:00' }],
    ['in no zone', { timeZone: '' }],
    ['in a zone that does not exist', { timeZone: 'Europe/Atlantis' }],
    ['in an offset', { timeZone: '+01:00' }],
    ['with a field more', { holidays: true }],
  ];
  for (const [name, change] of rows) {
    test(name, () => assert.equal(activeHoursSchema.safeParse({ ...good, ...change }).success, false));
  }
  test('and that one is none of them', () => assert.ok(activeHoursSchema.safeParse(good).success));
});
