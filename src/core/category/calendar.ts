import type { Email, Attachment as Part } from 'postal-mime';
import { cutToLength, onOneLine } from '../text.ts';
import { type CalendarTime, durationEnd, readCalendarTime } from './calendar-time.ts';
import { type Component, childrenOf, findProperty, type Property, textOf } from './jcal.ts';
import { textOfPart } from './report-part.ts';
import type { CalendarEvent } from './schema.ts';

/**
 * Most bytes of a calendar that is read. Invitations have a few thousand, some tens with their text in html; a whole
 * calendar as a file is no invitation.
 */
const LONGEST_CALENDAR_BYTES = 256 * 1024;

/** Most parts tried: an invitation is often there twice, as a part beside the text and as a file. */
const MOST_PARTS = 3;

/** In UTF-16 units; what tells events apart, and what is for people. */
const LONGEST_UID = 1_000;
const LONGEST_TEXT = 1_000;

/**
 * The event that the first readable calendar part of a mail is about (RFC 5545, RFC 6047), null if there is none.
 * Of several events the first that is no exception from a series, else the first. Tasks and busy times are no events.
 *
 * A calendar that is broken or larger than 256 KiB is none. Recurrences are never expanded, so a hostile rule costs
 * nothing. The parser is loaded when the first calendar comes: it takes 9 ms and 4 MB.
 */
export async function findCalendarEvent(email: Email): Promise<CalendarEvent | null> {
  for (const part of email.attachments.filter(isCalendar).slice(0, MOST_PARTS)) {
    const event = await readEvent(part);
    if (event !== null) return event;
  }
  return null;
}

/** Programs that do not know the type send the file as application/octet-stream. */
function isCalendar({ mimeType, filename, content }: Part): boolean {
  const isTyped = mimeType === 'text/calendar' || mimeType === 'application/ics';
  if (!isTyped && filename?.slice(-4).toLowerCase() !== '.ics') return false;
  return (typeof content === 'string' ? content.length : content.byteLength) <= LONGEST_CALENDAR_BYTES;
}

async function readEvent(part: Part): Promise<CalendarEvent | null> {
  const calendars = await parseCalendars(textOfPart(part));
  for (const calendar of calendars) {
    const events = childrenOf(calendar, 'vevent');
    const event = events.find((one) => findProperty(one, 'recurrence-id') === undefined) ?? events[0];
    if (event !== undefined) return eventOf(event, calendar, part.method ?? '');
  }
  return null;
}

async function parseCalendars(text: string): Promise<Component[]> {
  const { default: ICAL } = await import('ical.js');
  try {
    // The cast holds: what its parser gives is jCal (RFC 7265, 3), one component or an array of some.
    const parsed = ICAL.parse(text) as unknown as Component | Component[];
    const roots = typeof parsed[0] === 'string' ? [parsed as Component] : (parsed as Component[]);
    return roots.filter(([name]) => name === 'vcalendar');
  } catch {
    // Whatever it throws is about this text: a line that is none, a component without its end.
    return [];
  }
}

function eventOf(event: Component, calendar: Component, declaredMethod: string): CalendarEvent {
  const timeOf = (name: string) => readCalendarTime(findProperty(event, name), calendar);
  const start = timeOf('dtstart');
  const sequence = Number(textOf(findProperty(event, 'sequence')) || Number.NaN);
  return {
    method:
      shortText(findProperty(calendar, 'method'))?.toUpperCase() ?? cutToLength(declaredMethod, LONGEST_UID),
    uid: cutToLength(textOf(findProperty(event, 'uid')), LONGEST_UID),
    start: start?.text ?? null,
    end: (timeOf('dtend') ?? endByDuration(start, findProperty(event, 'duration')))?.text ?? null,
    allDay: start?.isDate ?? false,
    timeZone: start?.zone ?? null,
    recurring: ['rrule', 'rdate'].some((name) => findProperty(event, name) !== undefined),
    recurrenceId: timeOf('recurrence-id')?.text ?? null,
    sequence: Number.isSafeInteger(sequence) && sequence >= 0 ? sequence : null,
    summary: shortText(findProperty(event, 'summary')),
    location: shortText(findProperty(event, 'location')),
    organizer: organizerOf(findProperty(event, 'organizer')),
  };
}

function endByDuration(
  start: CalendarTime | undefined,
  duration: Property | undefined,
): CalendarTime | undefined {
  return start === undefined || duration === undefined ? undefined : durationEnd(start, textOf(duration));
}

/** RFC 5545, 3.8.4.3: a URI, mostly of mailto, and the name as a parameter. */
function organizerOf(property: Property | undefined): CalendarEvent['organizer'] {
  const address = textOf(property)
    .trim()
    .replace(/^mailto:/i, '');
  if (property === undefined || address === '' || address.length > LONGEST_TEXT) return null;
  const name = property[1].cn;
  return { name: typeof name === 'string' ? cutToLength(onOneLine(name), LONGEST_TEXT) : '', address };
}

function shortText(property: Property | undefined): string | null {
  const text = onOneLine(textOf(property)).trim();
  return text === '' ? null : cutToLength(text, LONGEST_TEXT);
}
