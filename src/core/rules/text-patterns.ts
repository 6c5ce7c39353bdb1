import type { Address } from '../message.ts';

/**
 * Whether one of the addresses is meant by one of the patterns: an address, `@domain` (that domain, not those below it),
 * or `*`. Letters count alike, large or small. `*@domain`, as rules of old may have it, is `@domain`.
 */
export function isAddressed(patterns: readonly string[], addresses: readonly (Address | null)[]): boolean {
  if (patterns.includes('*')) return true;
  const texts = new Set(addresses.flatMap((one) => (one === null ? [] : [one.address.toLowerCase()])));
  const domains = new Set([...texts].map(domainOf));
  return patterns.some((pattern) => {
    const wanted = pattern.toLowerCase().replace(/^\*@/, '@');
    return wanted.startsWith('@') ? domains.has(wanted) : texts.has(wanted);
  });
}

/** With its `@`; a local part in quotes may hold one too. */
function domainOf(address: string): string {
  return address.slice(Math.max(0, address.lastIndexOf('@')));
}

/** A subject can be half a megabyte, and to put it into one form costs the square of its marks; a line has 998 (RFC 5322, 2.1.1). */
const COMPARED_LENGTH = 1000;

/**
 * Whether the text, of which the first thousand characters count, holds one of the patterns, letters alike. With `*` (anything)
 * or `?` (one character) in it, a pattern is of the whole text.
 */
export function holdsPattern(text: string, patterns: readonly string[]): boolean {
  const haystack = comparable(text.slice(0, COMPARED_LENGTH));
  return patterns.map(comparable).some((wanted) => {
    return /[*?]/.test(wanted) ? isGlobOf(wanted, haystack) : haystack.includes(wanted);
  });
}

/** One text can be written in several ways: é as one character, or as e and an accent. */
function comparable(text: string): string {
  return text.normalize('NFC').toLowerCase();
}

/**
 * Without going back further than to the last `*`: a hostile subject costs its length times that of the pattern, where a
 * regular expression can take for ever.
 */
function isGlobOf(pattern: string, text: string): boolean {
  const [wanted, given] = [[...pattern], [...text]];
  let at = 0;
  let star = -1;
  let starAt = 0;
  let place = 0;
  while (place < given.length) {
    if (wanted[at] === '*') {
      star = at++;
      starAt = place;
    } else if (wanted[at] === '?' || (at < wanted.length && wanted[at] === given[place])) {
      at++;
      place++;
    } else if (star >= 0) {
      at = star + 1;
      place = ++starAt;
    } else return false;
  }
  while (wanted[at] === '*') at++;
  return at === wanted.length;
}
