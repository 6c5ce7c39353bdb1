import { isoTime } from '../mail-date.ts';
import { cutToLength } from '../text.ts';
import { type Component, childrenOf, findProperty, type Property, textOf } from './jcal.ts';
import { localTimeMs } from './local-time.ts';
import { offsetByZoneName } from './zone-name.ts';
import { offsetByRules } from './zone-rules.ts';

/** `text` as published. `toUtc` is there where the time zone is known, and turns a local time into UTC, both in ms. */
export type CalendarTime = {
  text: string;
  isDate: boolean;
  zone: string | null;
  localMs: number;
  toUtc: ((localMs: number) => number) | undefined;
};

/** In UTF-16 units. */
const LONGEST_ZONE = 200;

/** RFC 5545, 3.3.6. */
const DURATION =
  /^([+-]?)P(?:(\d{1,6})W)?(?:(\d{1,6})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,7})S)?)?$/;

/**
 * A time of an event; undefined if the property is none. A date stays a date. A time in a zone becomes UTC by the
 * rules that the calendar has for that zone (RFC 5545, 3.6.5), else by the name of the zone: of IANA, or of Windows.
 * Where neither is known, and where no zone is told, it stays as it is, without Z.
 */
export function readCalendarTime(
  property: Property | undefined,
  calendar: Component,
): CalendarTime | undefined {
  if (property === undefined) return undefined;
  const value = textOf(property);
  const localMs = localTimeMs(value);
  if (localMs === undefined) return undefined;
  if (!value.includes('T')) return timeOf({ isDate: true, zone: null, localMs, toUtc: undefined });

  const id = property[1].tzid;
  const zone = value.endsWith('Z') || typeof id !== 'string' ? null : id;
  const toUtc = value.endsWith('Z')
    ? (ms: number) => ms
    : zone === null
      ? undefined
      : zoneRule(zone, localMs, calendar);
  return timeOf({
    isDate: false,
    zone: zone === null ? null : cutToLength(zone, LONGEST_ZONE),
    localMs,
    toUtc,
  });
}

/**
 * The end of an event by its start and DURATION: weeks and days of the calendar, then exact hours, minutes and
 * seconds (RFC 5545, 3.3.6). Undefined if it is none, or goes backwards.
 */
export function durationEnd(start: CalendarTime, duration: string): CalendarTime | undefined {
  const [whole, sign, ...counts] = DURATION.exec(duration) ?? [];
  if (whole === undefined || sign === '-') return undefined;
  const [weeks = 0, days = 0, hours = 0, minutes = 0, seconds = 0] = counts.map((count) =>
    Number(count ?? 0),
  );
  const dayMs = (weeks * 7 + days) * 86_400_000;
  const exactMs = ((hours * 60 + minutes) * 60 + seconds) * 1_000;
  const localMs = start.localMs + dayMs;
  const { toUtc } = start;
  if (toUtc === undefined) return timeOf({ ...start, localMs: localMs + exactMs });
  return timeOf({ ...start, localMs: toUtc(localMs) + exactMs, toUtc: (ms) => ms });
}

function timeOf(time: Omit<CalendarTime, 'text'>): CalendarTime | undefined {
  const iso = isoTime(new Date(time.toUtc === undefined ? time.localMs : time.toUtc(time.localMs)));
  if (iso === null) return undefined;
  if (time.isDate) return { ...time, text: iso.slice(0, 10) };
  return { ...time, text: time.toUtc === undefined ? iso.slice(0, 19) : iso };
}

/** One way for a zone is found by its start, and used for all of the event's times. */
function zoneRule(zone: string, localMs: number, calendar: Component): CalendarTime['toUtc'] {
  const rules = childrenOf(calendar, 'vtimezone').find((one) => textOf(findProperty(one, 'tzid')) === zone);
  if (rules !== undefined && offsetByRules(rules, localMs) !== undefined) {
    return (ms) => ms - (offsetByRules(rules, ms) ?? 0);
  }
  if (offsetByZoneName(zone, localMs) === undefined) return undefined;
  return (ms) => ms - (offsetByZoneName(zone, ms) ?? 0);
}
