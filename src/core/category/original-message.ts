import type { Email } from 'postal-mime';
import { readMessageIds } from '../message-ids.ts';
import { partsOfTypes, textOfPart } from './report-part.ts';

/**
 * What reports return the mail, or its headers, in: RFC 6522, 3 and 4; for internationalized mail RFC 6533, 4;
 * `text/rfc822-header` is seen in the reports of AOL's feedback loop.
 */
const ORIGINAL_TYPES = [
  'message/rfc822',
  'message/global',
  'text/rfc822-headers',
  'message/global-headers',
  'message/rfc822-headers',
  'text/rfc822-header',
];

/** The headers of the mail that a report returns, as text; undefined if it returns none. */
export function originalHeaders(email: Email): string | undefined {
  const [part] = partsOfTypes(email, ORIGINAL_TYPES);
  return part === undefined ? undefined : textOfPart(part);
}

/** The value of the first header of this name in a text that begins with headers; '' if there is none. */
export function headerOfText(text: string, name: string): string {
  const lines = text.trimStart().split(/\r\n|\r|\n/);
  const end = lines.findIndex((line) => line.trim() === '');
  const headers = end === -1 ? lines : lines.slice(0, end);
  const at = headers.findIndex((line) => line.toLowerCase().startsWith(`${name}:`));
  if (at === -1) return '';
  const next = headers.findIndex((line, index) => index > at && !/^[ \t]/.test(line));
  const folded = headers.slice(at, next === -1 ? headers.length : next).join('');
  return folded.slice(name.length + 1).trim();
}

/** The Message-ID in a text that begins with the headers of a mail, with angle brackets; null if there is none. */
export function messageIdOfText(text: string): string | null {
  return readMessageIds(headerOfText(text, 'message-id'))[0] ?? null;
}
