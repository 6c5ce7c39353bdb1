import PostalMime, { type Email } from 'postal-mime';
import { MailgressError } from './errors.ts';
import { useOwnDecoders } from './parser-decoders.ts';

/**
 * Most bytes of headers, those of all parts together. Gmail takes 500 kB. The parser's time for hostile ones
 * (encoded words, nested groups) grows with the square of their length: a second here, half a minute for 2 MB.
 */
const MAX_HEADERS_BYTES = 512 * 1024;

/**
 * Most lines: these, and one for each so many bytes. The parser holds objects for each line of a body: 5 MB of
 * nothing but line ends take more than a minute, and gigabytes. Base64 and uuencode stay below at any size, with
 * lines of 60 to 76 characters; text whose lines have 25 on the average is refused from 7 MB on.
 */
const MAX_LINES_OF_ANY_LENGTH = 200_000;
const BYTES_OF_A_LINE_MORE = 75;

/**
 * Parses a mail with the one set of options for every use, so that an attachment has the same index each time.
 *
 * Attached mails stay attachments. The parser would rather put their text, below a header of its making in this
 * machine's language and time zone, into the text of the mail around them.
 *
 * @throws what the parser throws, or MailgressError `bad_request`: nested deeper than 256 parts, or above a limit.
 */
export async function parseMime(bytes: Uint8Array): Promise<Email> {
  const maxLines = MAX_LINES_OF_ANY_LENGTH + Math.floor(bytes.length / BYTES_OF_A_LINE_MORE);
  if (hasMoreLinesThan(bytes, maxLines)) {
    throw new MailgressError(
      'bad_request',
      `a mail of ${bytes.length} bytes has more than ${maxLines} lines`,
    );
  }
  const parser = new PostalMime({ forceRfc822Attachments: true, maxHeadersSize: MAX_HEADERS_BYTES });
  useOwnDecoders(parser);
  return parser.parse(inputOf(bytes));
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
