import type { Email } from 'postal-mime';
import { MailgressError } from './errors.ts';
import { hasLinesEndedByCr, withoutMboxLine } from './header-block.ts';
import { type ParsedMail, parseMended } from './mended-parser.ts';

/**
 * Most bytes of headers with their line ends, those of all parts together. Gmail takes 500 kB. Hostile ones (short lines, addresses, encoded
 * words) take up to 1 us a byte.
 */
const MAX_HEADERS_BYTES = 512 * 1024;

const CR = 0x0d;
const LF = 0x0a;

/**
 * Most lines: what 50 MB of text with 25 characters a line have. Each costs the parser 0.2 us and, in flowed text
 * (RFC 3676), 120 bytes: a mail of line ends alone takes a second.
 */
const MAX_LINES = 2_000_000;

/**
 * Parses a mail with the one set of options for every use, so that an attachment has the same index each time.
 *
 * Attached mails stay attachments. The parser would rather put their text, below a header of its making in this
 * machine's language and time zone, into the text of the mail around them.
 *
 * @throws what the parser throws, or MailgressError `bad_request`: nested deeper than 256 parts, or above a limit.
 */
export async function parseMime(bytes: Uint8Array): Promise<ParsedMail> {
  if (hasMoreLinesThan(bytes, MAX_LINES)) {
    throw new MailgressError(
      'bad_request',
      `a mail of ${bytes.length} bytes has more than ${MAX_LINES} lines`,
    );
  }
  const mail = withLineFeeds(withoutMboxLine(bytes));
  return parseMended(mail, { forceRfc822Attachments: true, maxHeadersSize: MAX_HEADERS_BYTES });
}

/** The value of the first header of this (lower-case) name, unfolded; empty if there is none. */
export function headerValue(email: Email, key: string): string {
  return email.headers.find((header) => header.key === key)?.value ?? '';
}

/**
 * A mail without any LF has lines that end in CR, as a file of an old Macintosh. Where there are both, CR is no line
 * end: RFC 5322, 2.2 has it stand nowhere alone, and a reader before us may have taken it for a character.
 */
function withLineFeeds(bytes: Uint8Array): Uint8Array {
  if (!hasLinesEndedByCr(bytes)) return bytes;
  return bytes.map((byte) => (byte === CR ? LF : byte));
}

function hasMoreLinesThan(bytes: Uint8Array, limit: number): boolean {
  if (bytes.length <= limit) return false;
  let lines = 0;
  for (let at = bytes.indexOf(LF); at !== -1 && lines <= limit; at = bytes.indexOf(LF, at + 1)) lines += 1;
  return lines > limit;
}
