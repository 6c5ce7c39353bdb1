/**
 * RFC 5322, 3.3, with what 4.3 keeps for old mail (years of two or three digits, no seconds, named zones) and
 * what is often seen beside it: no weekday, whole names of months, dashes, fractions, `+01:00`.
 */
const MAIL_DATE = new RegExp(
  [
    /^(?:[a-z]{2,9}[.,]*\s+)?/, // Mon,
    /(\d{1,2})[\s-]+([a-z]{3})[a-z]{0,6}\.?[\s-]+(\d{2,4})\s+/, // 1 Jan 2024
    /(\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d{1,9})?)?\s*/, // 10:00:00
    /([+-]\d{2}:?\d{2}|[a-z]{1,5})?$/, // +0100
  ]
    .map((part) => part.source)
    .join(''),
  'i',
);

const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];

/** Any other name counts as UTC, as 4.3 has it: most were never unambiguous. */
const NAMED_ZONES: ReadonlyMap<string, string> = new Map([
  ['EST', '-0500'],
  ['EDT', '-0400'],
  ['CST', '-0600'],
  ['CDT', '-0500'],
  ['MST', '-0700'],
  ['MDT', '-0600'],
  ['PST', '-0800'],
  ['PDT', '-0700'],
]);

/** Longest date that is read, comments included: it bounds the work on a hostile one. */
const LONGEST_DATE = 200;

/** What four digits of a year can write, without the year 0, which PostgreSQL does not know. */
const EARLIEST_MS = Date.parse('0001-01-01T00:00:00.000Z');
const LATEST_MS = Date.parse('9999-12-31T23:59:59.999Z');

/**
 * The value of a Date header as ISO 8601 in UTC with milliseconds, or null if it is none.
 *
 * Not `new Date(value)`: that takes "room 12" for a day in 2001, and a date without a zone to be in the time
 * zone of this machine.
 */
export function readMailDate(value: string): string | null {
  const text = value.slice(0, LONGEST_DATE).replace(/\([^()]*\)/g, ' ');
  const match = MAIL_DATE.exec(text.trim());
  if (match === null) return null;
  const [, day = '', monthName = '', year = '', hour = '', minute = '', second = '00', zone = ''] = match;

  // In numbers: reading them again from a text in ISO form costs more than the expression above.
  const fields = {
    year: fullYear(year),
    month: MONTHS.indexOf(monthName.toLowerCase()),
    day: Number(day),
    hour: Number(hour),
    minute: Number(minute),
    // A leap second has no place in ISO times as Date writes them.
    second: second === '60' ? 59 : Number(second),
  };
  const local = timeOf(fields);
  return local === null ? null : isoTime(new Date(local - offsetMs(zone)));
}

type Fields = { year: number; month: number; day: number; hour: number; minute: number; second: number };

/** Milliseconds since 1970 of these in UTC; null if there is no such time. */
function timeOf({ year, month, day, hour, minute, second }: Fields): number | null {
  if (month === -1 || hour > 23 || minute > 59 || second > 59) return null;
  const date = new Date(0);
  // Not Date.UTC, to which the year 99 is 1999.
  date.setUTCFullYear(year, month, day);
  // Date rolls 31 June over to 1 July.
  if (date.getUTCMonth() !== month || date.getUTCDate() !== day) return null;
  return date.setUTCHours(hour, minute, second);
}

/** ISO 8601 in UTC with milliseconds; null for an invalid date, and for one outside the years 1 to 9999. */
export function isoTime(date: Date): string | null {
  const ms = date.getTime();
  return ms >= EARLIEST_MS && ms <= LATEST_MS ? date.toISOString() : null;
}

/** RFC 5322, 4.3: 00 to 49 are of this century, 50 to 99 and three digits count from 1900. */
function fullYear(digits: string): number {
  const year = Number(digits);
  if (digits.length === 4) return year;
  return digits.length === 2 && year < 50 ? 2000 + year : 1900 + year;
}

function offsetMs(zone: string): number {
  const offset = /^[+-]/.test(zone) ? zone : (NAMED_ZONES.get(zone.toUpperCase()) ?? '+0000');
  const minutes = Number(offset.slice(1, 3)) * 60 + Number(offset.slice(-2));
  return (offset.startsWith('-') ? -minutes : minutes) * 60_000;
}
