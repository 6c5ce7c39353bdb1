import { z } from 'zod';
import { offsetMsAt } from './zone-offset.ts';

const MINUTE_MS = 60_000;
const DAY_MINUTES = 24 * 60;

/** No zone changes its offset twice within so short a time. */
const LONGEST_STEP_MINUTES = 12 * 60;

/** A window that a change of the clocks swallows comes back a week later; a year's look is more than enough. */
const LONGEST_LOOK_MS = 366 * DAY_MINUTES * MINUTE_MS;

const timeOfDay = z.string().regex(/^(?:[01][0-9]|2[0-3]):[0-5][0-9]$/, { error: 'must be HH:MM' });

export const activeHoursSchema = z
  .strictObject({
    days: z
      .array(z.int().min(1).max(7))
      .min(1)
      .max(7)
      .describe('1 Monday to 7 Sunday: the days on which the window opens'),
    start: timeOfDay,
    end: z
      .string()
      .regex(/^(?:(?:[01][0-9]|2[0-3]):[0-5][0-9]|24:00)$/, { error: 'must be HH:MM, or 24:00' })
      .describe('The first minute outside; before `start`: on the next day'),
    timeZone: z
      .string()
      .max(64)
      .refine(isTimeZone, { error: 'must be a time zone of IANA, as Europe/Paris' }),
  })
  .refine(({ start, end }) => start !== end, { path: ['end'], error: 'must not be `start`' });

export type ActiveHours = z.infer<typeof activeHoursSchema>;

function isTimeZone(name: string): boolean {
  // Intl takes offsets too: these know no summer time, and who writes one means a place.
  return !/^[+-]/.test(name) && offsetMsAt(name, 0) !== undefined;
}

/**
 * Whether the clock on the wall of the zone shows a time inside. So an hour that is skipped is in no window, and one
 * that occurs twice is in it twice.
 */
export function isActiveAt(hours: ActiveHours, at: Date): boolean {
  return isInside(hours, minuteOfWeek(hours, at.getTime()));
}

/**
 * The first full minute from `at` on that is inside; `at` itself if that is. A window that a change of the clocks leaves
 * nothing of is passed over.
 */
export function nextActiveAt(hours: ActiveHours, at: Date): Date {
  if (isActiveAt(hours, at)) return at;
  const firstMs = Math.ceil(at.getTime() / MINUTE_MS) * MINUTE_MS;
  let ms = firstMs;
  while (ms - firstMs < LONGEST_LOOK_MS) {
    const minutes = minutesUntilInside(hours, minuteOfWeek(hours, ms));
    if (minutes === 0) break;
    const next = ms + Math.min(minutes, LONGEST_STEP_MINUTES) * MINUTE_MS;
    // As long as the clock runs on, nothing before `next` is inside; where it is set, look again from there.
    ms = offset(hours, next) === offset(hours, ms) ? next : findChange(hours, ms, next);
  }
  return new Date(ms);
}

/** The first minute after `fromMs` with another offset than it has; one is known to be no later than `toMs`. */
function findChange(hours: ActiveHours, fromMs: number, toMs: number): number {
  const before = offset(hours, fromMs);
  let low = fromMs;
  let high = toMs;
  while (high - low > MINUTE_MS) {
    const middle = low + Math.floor((high - low) / 2 / MINUTE_MS) * MINUTE_MS;
    if (offset(hours, middle) === before) low = middle;
    else high = middle;
  }
  return high;
}

function offset({ timeZone }: ActiveHours, ms: number): number {
  return offsetMsAt(timeZone, ms) ?? 0;
}

/** Monday 00:00 is 0, by the zone's clock. */
function minuteOfWeek(hours: ActiveHours, ms: number): number {
  const local = new Date(ms + offset(hours, ms));
  return ((local.getUTCDay() + 6) % 7) * DAY_MINUTES + local.getUTCHours() * 60 + local.getUTCMinutes();
}

function isInside(hours: ActiveHours, minute: number): boolean {
  const day = Math.floor(minute / DAY_MINUTES) + 1;
  const { start, end } = boundsOf(hours);
  const time = minute % DAY_MINUTES;
  if (start < end) return hours.days.includes(day) && time >= start && time < end;
  const dayBefore = day === 1 ? 7 : day - 1;
  return (hours.days.includes(day) && time >= start) || (hours.days.includes(dayBefore) && time < end);
}

/** By a clock that nobody sets: 0 if it is inside already. */
function minutesUntilInside(hours: ActiveHours, minute: number): number {
  if (isInside(hours, minute)) return 0;
  const { start } = boundsOf(hours);
  const waits = hours.days.map((day) => (day - 1) * DAY_MINUTES + start - minute);
  return Math.min(...waits.map((wait) => (wait <= 0 ? wait + 7 * DAY_MINUTES : wait)));
}

function boundsOf(hours: ActiveHours): { start: number; end: number } {
  return { start: minutesOf(hours.start), end: minutesOf(hours.end) };
}

function minutesOf(time: string): number {
  return Number(time.slice(0, 2)) * 60 + Number(time.slice(3));
}
