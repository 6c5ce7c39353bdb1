import { CHARSET_LABELS } from './charset-labels.ts';
import { decodeShifted } from './shifted-charsets.ts';

/** Names of UTF-8; what has no charset is read as UTF-8 as well. */
const UTF_8_NAMES: ReadonlySet<string> = new Set([
  '',
  'utf-8',
  'utf8',
  'unicode-1-1-utf-8',
  'x-unicode20utf8',
]);

/** Names of ASCII, under which any other charset is sent too. */
const ASCII_NAMES: ReadonlySet<string> = new Set(['us-ascii', 'ascii', 'ansi_x3.4-1968']);

const UTF_16_NAMES: ReadonlySet<string> = new Set([
  'utf-16',
  'unicode',
  'ucs-2',
  'iso-10646-ucs-2',
  'csunicode',
]);

const lenientUtf8 = new TextDecoder('utf-8');
/** It throws at what is not UTF-8. */
const strictUtf8 = new TextDecoder('utf-8', { fatal: true });

/**
 * Bytes as text in the charset of this name, or of the one they are more probably in:
 *
 * - UTF-8 that is none: windows-1252, if no character beyond ASCII can be read. Where some can, a text was cut inside
 *   a character or put together of two: U+FFFD stands for the bytes that are wrong.
 * - ASCII with bytes above, and names that nobody knows: UTF-8 if it is valid, else as the parser has it, which is
 *   windows-1252.
 * - UTF-16 goes by its byte order mark, else by where its zeros are.
 * - UTF-7, ISO-2022-KR and HZ are read; the Encoding Standard, which the parser follows, has none of them.
 *
 * Any other name is believed.
 *
 * @param readAsNamed the parser's own reading.
 */
export function readCharset(bytes: Uint8Array, name: string, readAsNamed: () => string): string {
  const charset = name.trim().toLowerCase();
  if (UTF_8_NAMES.has(charset)) {
    const text = readAsNamed();
    return text.includes('\ufffd') ? readBrokenUtf8(bytes, text) : text;
  }
  if (UTF_16_NAMES.has(charset)) return readUtf16(bytes);
  const shifted = decodeShifted(bytes, charset);
  if (shifted !== undefined) return shifted;
  if (ASCII_NAMES.has(charset) || !isKnown(charset)) return findUtf8(bytes) ?? readAsNamed();
  return readAsNamed();
}

/** The text if the bytes are valid UTF-8. */
export function findUtf8(bytes: Uint8Array): string | undefined {
  const text = lenientUtf8.decode(bytes);
  if (!text.includes('\ufffd')) return text;
  // It may have been sent. Only then by exception, which costs ten times as much, and a header has 100,000 lines.
  if (!Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).includes('\ufffd')) return undefined;
  try {
    return strictUtf8.decode(bytes);
  } catch {
    return undefined;
  }
}

/** Whether the Encoding Standard knows this name of a charset, and Node can read it. */
export function isKnown(charset: string): boolean {
  return CHARSET_LABELS.has(charset.trim().toLowerCase());
}

function readBrokenUtf8(bytes: Uint8Array, text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: ASCII is what they belong to
  const isAnyRead = /[^\x00-\x7f\ufffd]/.test(text);
  return isAnyRead || findUtf8(bytes) !== undefined ? text : new TextDecoder('windows-1252').decode(bytes);
}

function readUtf16(bytes: Uint8Array): string {
  const isBigEndian = hasMark(bytes, 0xfe, 0xff) || (!hasMark(bytes, 0xff, 0xfe) && hasZerosFirst(bytes));
  return new TextDecoder(isBigEndian ? 'utf-16be' : 'utf-16le').decode(bytes);
}

function hasMark(bytes: Uint8Array, first: number, second: number): boolean {
  return bytes[0] === first && bytes[1] === second;
}

/** Latin text in UTF-16 has a zero in each pair: before the other byte if it is big-endian. */
function hasZerosFirst(bytes: Uint8Array): boolean {
  let balance = 0;
  for (const [at, byte] of bytes.subarray(0, 1024).entries()) {
    if (byte === 0) balance += at % 2 === 0 ? 1 : -1;
  }
  return balance > 0;
}
