import { decodeWords } from 'postal-mime';
import { isKnown, readCharset } from './charset.ts';

/**
 * An encoded word (RFC 2047, 2) with what is forgiven: blanks around its charset, `?` in its text, and no end at
 * the end of the header, where a program cut it. Before another `=?` its text ends, so that no place is read twice;
 * `=?=` is its padding and its end.
 */
const WORD =
  /=\?[ \t]*([^?\s]+)[ \t]*\?[ \t]*([QqBb])[ \t]*\?((?:(?!=\?(?!=))[^?]|\?(?!=)|\?(?==[0-9A-F]{2}[^\s?]*\?=))*)(?:\?=|$)/g;

/** In mail the space between two words is of the folding alone (RFC 2047, 6.2). */
const BLANKS = /^[ \t\r\n]*$/;

const EQUALS = 0x3d;
const UNDERSCORE = 0x5f;

type Word = { start: number; end: number; charset: string; encoding: string; encoded: string };

/**
 * A text with its encoded words read, and what stands beside them as it is. Beyond RFC 2047 and what is forgiven above,
 * words that follow one another in one charset are read together, since programs split characters between them, and
 * charsets are those of `readCharset`. Linear in its length.
 */
export function decodeEncodedWords(value: string): string {
  let text = '';
  let at = 0;
  for (const run of runsOf(value)) {
    const start = run[0]?.start ?? 0;
    const between = value.slice(at, start);
    text += at > 0 && BLANKS.test(between) ? '' : between;
    text += readRun(run);
    at = run.at(-1)?.end ?? at;
  }
  return text + value.slice(at);
}

/** Whether a text is nothing but encoded words. */
export function isOfEncodedWords(value: string): boolean {
  return value.includes('=?') && value.replace(WORD, '').trim() === '';
}

/** Where the encoded words of a text end, by where they start. Not one that was cut: nobody knows where it ends. */
export function placesOfEncodedWords(value: string): ReadonlyMap<number, number> {
  const places = new Map<number, number>();
  if (!value.includes('=?')) return places;
  for (const { 0: word, index } of value.matchAll(WORD)) {
    if (word.endsWith('?=')) places.set(index, index + word.length);
  }
  return places;
}

/** A text of which the parser reads the encoded words, written so that it reads them as `decodeEncodedWords` does. */
export function mendEncodedWords(value: string): string {
  if (!value.includes('=?')) return value;
  return `=?utf-8?B?${Buffer.from(decodeEncodedWords(value)).toString('base64')}?=`;
}

/** Words that follow one another and have one charset: a character may be split between them. */
function runsOf(value: string): Word[][] {
  if (!value.includes('=?')) return [];
  const runs: Word[][] = [];
  let last: Word | undefined;
  for (const match of value.matchAll(WORD)) {
    const [whole, charset = '', encoding = '', encoded = ''] = match;
    const word = {
      start: match.index,
      end: match.index + whole.length,
      // RFC 2231, 5: a language may stand behind the charset.
      charset: charset.replace(/\*.*$/, '').toLowerCase(),
      encoding: encoding.toUpperCase(),
      encoded,
    };
    const isNext = last?.charset === word.charset && BLANKS.test(value.slice(last.end, word.start));
    if (isNext) runs.at(-1)?.push(word);
    else runs.push([word]);
    last = word;
  }
  return runs;
}

/** Words in a charset that shifts may each be whole and not to be joined: then apart if fewer bytes are wrong so. */
function readRun(run: readonly Word[]): string {
  const bytes = run.map(bytesOf);
  const charset = run[0]?.charset ?? '';
  const joined = read(bytes.length === 1 ? (bytes[0] ?? Buffer.alloc(0)) : Buffer.concat(bytes), charset);
  if (run.length === 1 || !joined.includes('\ufffd')) return joined;
  const apart = bytes.map((of) => read(of, charset)).join('');
  return countWrong(apart) < countWrong(joined) ? apart : joined;
}

function read(bytes: Uint8Array, charset: string): string {
  return readCharset(bytes, charset, () => decoderOf(charset)?.decode(bytes) ?? readAlias(bytes, charset));
}

/** By name; as many as there are names in the Encoding Standard, at most. None of them keeps a state. */
const decoders = new Map<string, { decode(bytes: Uint8Array): string }>();

function decoderOf(charset: string): { decode(bytes: Uint8Array): string } | undefined {
  if (!isKnown(charset)) return undefined;
  const known = decoders.get(charset);
  if (known !== undefined) return known;
  const decoder = new TextDecoder(charset);
  decoders.set(charset, decoder);
  return decoder;
}

/** The parser knows names beyond the standard, and takes any other for windows-1252. */
function readAlias(bytes: Uint8Array, charset: string): string {
  return decodeWords(`=?${charset}?B?${Buffer.from(bytes).toString('base64')}?=`);
}

function countWrong(text: string): number {
  return text.split('\ufffd').length;
}

function bytesOf({ encoding, encoded }: Word): Buffer {
  return encoding === 'B' ? bytesOfBase64(encoded) : bytesOfQ(encoded);
}

/** Each padded piece by itself: some programs pad inside a word, and Buffer ends at the first `=`. */
function bytesOfBase64(encoded: string): Buffer {
  const padding = encoded.indexOf('=');
  if (padding === -1 || /^=+$/.test(encoded.slice(padding))) return Buffer.from(encoded, 'base64');
  return Buffer.concat(encoded.split(/=+/).map((piece) => Buffer.from(piece, 'base64')));
}

/** Escapes as bytes, also with blanks inside, `_` and blanks as spaces; what is not ASCII as its UTF-8. */
function bytesOfQ(encoded: string): Buffer {
  const isFolded = /=\s/.test(encoded);
  const bytes = Buffer.from(
    (isFolded ? encoded.replace(/=\s+([0-9a-fA-F])/g, '=$1') : encoded).replace(/\s/g, ' '),
  );
  let length = 0;
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at] ?? 0;
    const escaped = byte === EQUALS ? (hexDigit(bytes[at + 1]) << 4) | hexDigit(bytes[at + 2]) : -1;
    if (escaped >= 0) at += 2;
    bytes[length++] = escaped >= 0 ? escaped : byte === UNDERSCORE ? 0x20 : byte;
  }
  return bytes.subarray(0, length);
}

/** -1 for what is none; shifted it stays below zero, and so does what it is joined to. */
function hexDigit(byte = 0): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = (byte | 0x20) - 0x61;
  return letter >= 0 && letter < 6 ? letter + 10 : -1;
}
