import type { Address } from '../message.ts';

/**
 * Whether one of the addresses is meant by one of the patterns: an address, `@domain` (that domain, not those below it),
 * or `*`. Letters count alike, large or small.
 */
export function isAddressed(patterns: readonly string[], addresses: readonly (Address | null)[]): boolean {
  if (patterns.includes('*')) return true;
  const texts = addresses.flatMap((one) => (one === null ? [] : [one.address.toLowerCase()]));
  return patterns.some((pattern) => {
    const wanted = pattern.toLowerCase();
    return texts.some((text) => (wanted.startsWith('@') ? domainOf(text) === wanted : text === wanted));
  });
}

/** With its `@`; a local part in quotes may hold one too. */
function domainOf(address: string): string {
  return address.slice(Math.max(0, address.lastIndexOf('@')));
}

/**
 * Whether the text holds the pattern, letters alike. With `*` (anything) or `?` (one character) in it, the pattern is of
 * the whole text.
 */
export function holdsPattern(text: string, pattern: string): boolean {
  const [haystack, wanted] = [comparable(text), comparable(pattern)];
  return /[*?]/.test(wanted) ? isGlobOf(wanted, haystack) : haystack.includes(wanted);
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
