import { ianaZoneOf } from './windows-zones.ts';

/** Longest name tried; the longest of IANA has 32 characters. */
const LONGEST_NAME = 100;

const DAY_MS = 86_400_000;

/**
 * How far local time is ahead of UTC at a local time, in ms, by the name of a time zone: of IANA (`Europe/Paris`),
 * also with a path before it as Mozilla and libical write it, or of Windows. Undefined if nobody knows the name.
 *
 * A time that occurs twice is the first, one that is skipped counts as before (RFC 5545, 3.3.5).
 */
export function offsetByZoneName(name: string, localMs: number): number | undefined {
  const offsetAt = findZone(name);
  if (offsetAt === undefined) return undefined;
  const before = offsetAt(localMs - DAY_MS);
  const after = offsetAt(localMs + DAY_MS);
  if (before === after || offsetAt(localMs - before) === before) return before;
  return offsetAt(localMs - after) === after ? after : before;
}

/** Node brings the time zones of IANA with it, whatever the machine has. */
function findZone(name: string): ((utcMs: number) => number) | undefined {
  if (name.length > LONGEST_NAME) return undefined;
  const iana =
    ianaZoneOf(name) ??
    name.replace(
      /^\/.*?(?=(?:Africa|America|Antarctica|Asia|Atlantic|Australia|Europe|Indian|Pacific)\/)/,
      '',
    );
  try {
    const format = new Intl.DateTimeFormat('en-US', { timeZone: iana, timeZoneName: 'longOffset' });
    return (utcMs) =>
      readOffset(format.formatToParts(utcMs).find(({ type }) => type === 'timeZoneName')?.value);
  } catch {
    // RangeError: no such zone.
    return undefined;
  }
}

/** `GMT`, `GMT+02:00`, `GMT-03:30`; zones of long ago have seconds. */
function readOffset(text: string | undefined): number {
  const [, sign, hours = 0, minutes = 0, seconds = 0] =
    /^GMT([+-])(\d\d):(\d\d)(?::(\d\d))?$/.exec(text ?? '') ?? [];
  const ms = ((Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds)) * 1_000;
  return sign === '-' ? -ms : ms;
}
