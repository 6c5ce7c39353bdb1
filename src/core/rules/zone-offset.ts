/** Formatters cost a hundred times what they format; there are about 600 zones. */
const formats = new Map<string, Intl.DateTimeFormat>();

/**
 * How far the clocks of a time zone are ahead of UTC, in ms; undefined if Intl does not know the zone. Node brings the
 * zones of IANA with it, whatever the machine has.
 */
export function offsetMsAt(timeZone: string, ms: number): number | undefined {
  const format = findFormat(timeZone);
  if (format === undefined) return undefined;
  const name = format.formatToParts(ms).find(({ type }) => type === 'timeZoneName')?.value ?? '';
  // `GMT`, `GMT+02:00`; zones of long ago have seconds.
  const [, sign, hours = 0, minutes = 0, seconds = 0] =
    /^GMT([+-])(\d\d):(\d\d)(?::(\d\d))?$/.exec(name) ?? [];
  const offsetMs = ((Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds)) * 1000;
  return sign === '-' ? -offsetMs : offsetMs;
}

function findFormat(timeZone: string): Intl.DateTimeFormat | undefined {
  const known = formats.get(timeZone);
  if (known !== undefined) return known;
  try {
    const format = new Intl.DateTimeFormat('en-US', { timeZone, timeZoneName: 'longOffset' });
    formats.set(timeZone, format);
    return format;
  } catch {
    // RangeError: no such zone.
    return undefined;
  }
}
