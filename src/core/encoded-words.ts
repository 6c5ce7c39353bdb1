import { decodeWords } from 'postal-mime';
import { readCharset } from './charset.ts';

/**
 * An encoded word (RFC 2047, 2) with what is forgiven: blanks around its charset, `?` in its text, and no end at
 * the end of the header, where a program cut it. Before another `=?` its text ends, so that no place is read twice;
 * `=?=` is its padding and its end.
 */
const WORD =
  /=\?[ \t]*([^?\s]+)[ \t]*\?[ \t]*([QqBb])[ \t]*\?((?:(?!=\?(?!=))[^?]|\?(?!=)|\?(?==[0-9A-F]{2}[^\s?]*\?=))*)(?:\?=|$)/g;

/** What ends a name or an address when it stands unencoded in the Q of one. */
const SPECIALS = /[,;:<>()@"\\]/;

/** In mail the space between two words is of the folding alone (RFC 2047, 6.2). */
const BLANKS = /^[ \t\r\n]*$/;

type Word = { start: number; end: number; charset: string; encoding: string; encoded: string };

/**
 * The value of a header with those encoded words written anew that the parser would read wrongly: each run of them
 * is then one word in UTF-8 and base64. The very same string comes back if all are read rightly. Beside what is
 * forgiven above, that is
 *
 * - a character split between two words, of which one is padded or differs in the case of its charset;
 * - `,` or `<` unencoded in a name, where the parser would end it;
 * - a charset mended by `readCharset`.
 */
export function mendEncodedWords(value: string): string {
  if (!value.includes('=?')) return value;
  let mended = '';
  let at = 0;
  for (const run of runsOf(value)) {
    const [first] = run;
    const last = run.at(-1);
    if (first === undefined || last === undefined) continue;
    const written = value.slice(first.start, last.end);
    const parsed = decodeWords(written);
    const text = isPlain(run, written, parsed) ? parsed : readRun(run);
    const isRight = text === parsed && !run.some(({ encoded }) => SPECIALS.test(encoded));
    mended += value.slice(at, first.start);
    mended += isRight ? written : `=?utf-8?B?${Buffer.from(text).toString('base64')}?=`;
    at = last.end;
  }
  return at === 0 ? value : mended + value.slice(at);
}

/** What nearly all mail has, and the parser reads rightly: one whole word, valid in UTF-8. */
function isPlain(run: readonly Word[], written: string, parsed: string): boolean {
  return (
    run.length === 1 &&
    run[0]?.charset === 'utf-8' &&
    // U+0000 is what it makes of padding inside a word.
    !/[\0\ufffd]/.test(parsed) &&
    /^=\?[^?\s]+\?[QqBb]\?[^?]*\?=$/.test(written)
  );
}

/** Words that follow one another and have one charset: a character may be split between them. */
function runsOf(value: string): Word[][] {
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
  const joined = read(Buffer.concat(bytes), charset);
  if (run.length === 1 || !joined.includes('\ufffd')) return joined;
  const apart = bytes.map((of) => read(of, charset)).join('');
  return countWrong(apart) < countWrong(joined) ? apart : joined;
}

function read(bytes: Uint8Array, charset: string): string {
  return readCharset(bytes, charset, () =>
    decodeWords(`=?${charset}?B?${Buffer.from(bytes).toString('base64')}?=`),
  );
}

function countWrong(text: string): number {
  return text.split('\ufffd').length;
}

function bytesOf({ encoding, encoded }: Word): Buffer {
  // Each padded piece by itself: some programs pad inside a word, and Buffer ends at the first `=`.
  if (encoding === 'B')
    return Buffer.concat(encoded.split(/=+/).map((piece) => Buffer.from(piece, 'base64')));
  const text = encoded.replace(/=\s+([0-9a-fA-F])/g, '=$1').replace(/[_\s]/g, ' ');
  // Escapes as bytes, what is not ASCII as its UTF-8.
  const escaped = Buffer.from(text).toString('latin1');
  return Buffer.from(
    escaped.replace(/=([0-9a-fA-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
    'latin1',
  );
}
