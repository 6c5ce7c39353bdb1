import PostalMime, { type Email } from 'postal-mime';
import { MailgressError } from './errors.ts';

/**
 * Most line ends of a mail. The parser holds an object for each line, so that 5 MB of nothing but line ends take
 * more than a minute and gigabytes. 50 MB in lines of 60 characters, the shortest a mail program writes, are fewer.
 */
const MAX_LINES = 1_000_000;

/**
 * Most bytes of headers, those of all parts together. Gmail takes 500 kB. Above this, hostile ones (encoded words,
 * nested groups) begin to cost seconds: the parser's time for them grows with the square of their length.
 */
const MAX_HEADERS_BYTES = 1024 * 1024;

/**
 * Parses a mail with the one set of options for every use, so that an attachment has the same index each time.
 *
 * Attached mails stay attachments. The parser would rather put their text, below a header of its making in this
 * machine's language and time zone, into the text of the mail around them.
 *
 * @throws what the parser throws, or MailgressError `bad_request`: nested deeper than 256 parts, or above a limit.
 */
export async function parseMime(bytes: Uint8Array): Promise<Email> {
  if (hasMoreLinesThan(bytes, MAX_LINES)) {
    throw new MailgressError('bad_request', `the mail has more than ${MAX_LINES} lines`);
  }
  return PostalMime.parse(inputOf(bytes), {
    forceRfc822Attachments: true,
    maxHeadersSize: MAX_HEADERS_BYTES,
  });
}

/** The value of the first header of this (lower-case) name, unfolded; empty if there is none. */
export function headerValue(email: Email, key: string): string {
  return email.headers.find((header) => header.key === key)?.value ?? '';
}

/** A view is copied by the parser, an ArrayBuffer is read as it is: that spares a mail of 25 MB a copy. */
function inputOf(bytes: Uint8Array): ArrayBuffer | Uint8Array {
  const { buffer } = bytes;
  return buffer instanceof ArrayBuffer && buffer.byteLength === bytes.byteLength ? buffer : bytes;
}

function hasMoreLinesThan(bytes: Uint8Array, limit: number): boolean {
  if (bytes.length <= limit) return false;
  let lines = 0;
  for (let at = bytes.indexOf(0x0a); at !== -1 && lines <= limit; at = bytes.indexOf(0x0a, at + 1))
    lines += 1;
  return lines > limit;
}
