/** A date, or a time with or without Z, as jCal writes them (RFC 7265, 3.6.4 and 3.6.5). */
const TIME = /^(\d{4})-(\d\d)-(\d\d)(?:T(\d\d):(\d\d):(\d\d)Z?)?$/;

/**
 * A date or time of jCal as ms since 1970, taken as if it were UTC; undefined if there is no such day or time. A leap
 * second counts as the one before it.
 */
export function localTimeMs(text: string): number | undefined {
  const [whole, year, month, day, hour = '00', minute = '00', second = '00'] = TIME.exec(text) ?? [];
  if (whole === undefined) return undefined;
  const written = `${year}-${month}-${day}T${hour}:${minute}:${second === '60' ? '59' : second}`;
  const date = new Date(`${written}.000Z`);
  // Date rolls 31 June over to 1 July.
  const isReal = !Number.isNaN(date.getTime()) && date.toISOString().startsWith(written);
  return isReal ? date.getTime() : undefined;
}
