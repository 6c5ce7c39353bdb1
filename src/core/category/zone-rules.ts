import { type Component, childrenOf, findProperty, type Property, textOf } from './jcal.ts';
import { localTimeMs } from './local-time.ts';

/** Most observances looked at of one zone: Outlook writes two, others one for each change since 1970. */
const MOST_OBSERVANCES = 200;

/** Most rules and dates of one observance. RFC 5545, 3.6.5, has one rule in mind; dates are one for a year. */
const MOST_RULES = 5;
const MOST_DATES = 500;

/** Most days of the month in a rule. */
const MOST_DAYS = 31;

const DAY_MS = 86_400_000;

const WEEKDAYS = ['SU', 'MO', 'TU', 'WE', 'TH', 'FR', 'SA'];

/** The parts of a rule that change of a year's offset is told with. */
const KNOWN_PARTS = ['freq', 'interval', 'bymonth', 'byday', 'bymonthday', 'until', 'wkst'];

type Rule = Record<string, unknown>;

/**
 * How far local time is ahead of UTC at a local time, in ms, by a VTIMEZONE (RFC 5545, 3.6.5): what the observance
 * says that began last. A time that occurs twice is the first, one that is skipped counts as before (3.3.5).
 * Undefined if the component has rules of another kind than "the last Sunday in March of every year".
 *
 * Not by the parser's own time zones: these list every change since the rule began, and a hostile rule begins in
 * the year 1 and changes every second. Here a rule is asked for two years, whatever it says.
 */
export function offsetByRules(zone: Component, localMs: number): number | undefined {
  const observances = [...childrenOf(zone, 'standard'), ...childrenOf(zone, 'daylight')];
  if (observances.length === 0 || observances.length > MOST_OBSERVANCES) return undefined;

  let latest: { onsetMs: number; offsetMs: number } | undefined;
  let earliest: { onsetMs: number; offsetMs: number } | undefined;
  for (const observance of observances) {
    const from = readOffset(findProperty(observance, 'tzoffsetfrom'));
    const to = readOffset(findProperty(observance, 'tzoffsetto'));
    const first = localTimeMs(textOf(findProperty(observance, 'dtstart')));
    const rules = observance[1].filter(([name]) => name === 'rrule').map(ruleOf);
    const listed = observance[1].filter(([name]) => name === 'rdate').flatMap(([, , , ...values]) => values);
    if (from === undefined || to === undefined || first === undefined) return undefined;
    if (rules.length > MOST_RULES || listed.length > MOST_DATES || !rules.every(isYearly)) return undefined;

    const onsets = [first, ...listed.map((value) => localTimeMs(String(value)))];
    for (const rule of rules) onsets.push(...onsetsOf(rule, first, from, localMs));
    // Clocks are put forward over the times that are skipped: these belong to what was before.
    const skippedMs = Math.max(0, to - from);
    for (const onsetMs of onsets) {
      if (onsetMs === undefined) continue;
      const isOver = onsetMs + skippedMs <= localMs;
      if (isOver && onsetMs > (latest?.onsetMs ?? -Infinity)) latest = { onsetMs, offsetMs: to };
      if (onsetMs < (earliest?.onsetMs ?? Infinity)) earliest = { onsetMs, offsetMs: from };
    }
  }
  return (latest ?? earliest)?.offsetMs;
}

/** jCal has it as `+01:00`, or with seconds (RFC 7265, 3.6.14). */
function readOffset(property: Property | undefined): number | undefined {
  const [whole, sign, hours, minutes, seconds = '0'] =
    /^([+-])(\d\d):(\d\d)(?::(\d\d))?$/.exec(textOf(property)) ?? [];
  if (whole === undefined) return undefined;
  const ms = ((Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds)) * 1_000;
  return sign === '-' ? -ms : ms;
}

function ruleOf(property: Property): Rule {
  const rule = property[3];
  // The cast holds: jCal has a rule as an object (RFC 7265, 3.6.10).
  return typeof rule === 'object' && rule !== null ? (rule as Rule) : {};
}

function isYearly(rule: Rule): boolean {
  const isPlain = Object.keys(rule).every((part) => KNOWN_PARTS.includes(part));
  const isEveryYear = rule.freq === 'YEARLY' && Number(rule.interval ?? 1) === 1;
  const isOneDay = listOf(rule.bymonth).length <= 1 && listOf(rule.byday).length <= 1;
  return isPlain && isEveryYear && isOneDay && listOf(rule.bymonthday).length <= MOST_DAYS;
}

/** When the rule takes effect in the year of that time, and in the one before; none before it began, or after its end. */
function onsetsOf(rule: Rule, firstMs: number, fromMs: number, localMs: number): number[] {
  const year = new Date(localMs).getUTCFullYear();
  // UNTIL is UTC (3.3.10); the onset is told in the time before it.
  const untilMs = rule.until === undefined ? Infinity : localTimeMs(String(rule.until));
  if (untilMs === undefined) return [];
  const onsets = [year - 1, year].map((one) => onsetIn(one, rule, firstMs));
  return onsets.filter(
    (onset): onset is number => onset !== undefined && onset >= firstMs && onset - fromMs <= untilMs,
  );
}

function onsetIn(year: number, rule: Rule, firstMs: number): number | undefined {
  const first = new Date(firstMs);
  const month = Number(listOf(rule.bymonth)[0] ?? first.getUTCMonth() + 1) - 1;
  const lastDay = new Date(Date.UTC(year, month + 1, 0)).getUTCDate();
  const days = Array.from({ length: lastDay }, (_, index) => index + 1).filter((day) => {
    const wanted = listOf(rule.bymonthday).map(Number);
    return wanted.length === 0 || wanted.includes(day) || wanted.includes(day - lastDay - 1);
  });
  const [weekdayText] = listOf(rule.byday);
  const day =
    weekdayText === undefined
      ? dayWithoutWeekday(rule, days, first)
      : pickWeekday(String(weekdayText), year, month, days);
  // Not by Date.UTC of the first day: that takes the years 0 to 99 for 1900 to 1999.
  const timeOfDayMs = ((firstMs % DAY_MS) + DAY_MS) % DAY_MS;
  return day === undefined ? undefined : Date.UTC(year, month, day) + timeOfDayMs;
}

function dayWithoutWeekday(rule: Rule, days: readonly number[], first: Date): number | undefined {
  return rule.bymonthday === undefined ? days.find((day) => day === first.getUTCDate()) : days[0];
}

/** `-1SU` is the last Sunday of these days, `2SU` the second, `SU` (with BYMONTHDAY) the first. */
function pickWeekday(text: string, year: number, month: number, days: readonly number[]): number | undefined {
  const [, ordinal, name = ''] = /^([+-]?\d)?([A-Z]{2})$/.exec(text) ?? [];
  const weekday = WEEKDAYS.indexOf(name);
  const fitting = days.filter((day) => new Date(Date.UTC(year, month, day)).getUTCDay() === weekday);
  const position = Number(ordinal ?? 1);
  return fitting.at(position > 0 ? position - 1 : position);
}

function listOf(value: unknown): unknown[] {
  return value === undefined ? [] : Array.isArray(value) ? value : [value];
}
