import { leadingTextOfHtml } from './html-text.ts';
import type { Address, Message } from './message.ts';
import { cutToUtf8Bytes } from './text.ts';

/** What of a message is searched. */
export type Searched = Pick<
  Message,
  'subject' | 'from' | 'sender' | 'replyTo' | 'to' | 'cc' | 'bcc' | 'text' | 'html' | 'snippet'
>;

/** Bytes of UTF-8: some 10,000 words. More is rarely looked for, and each word costs the index its place. */
export const SEARCHED_TEXT_BYTES = 64 * 1024;
/** Subject, names and addresses come first: those of a list of 500 people are within it. */
const HEAD_BYTES = 48 * 1024;

/**
 * The words of a message as one text: subject, names and addresses, then the beginning of its text, or where it has none of
 * its html, or of its preview. Each address stands there whole and in its two parts, so that each of the three is found.
 *
 * @param limitBytes of the whole, in UTF-8.
 */
export function searchTextOf(message: Searched, limitBytes = HEAD_BYTES + SEARCHED_TEXT_BYTES): string {
  const { subject, from, sender, replyTo, to, cc, bcc } = message;
  const addresses = [from, sender, ...replyTo, ...to, ...cc, ...bcc].filter((one) => one !== null);
  const head = [subject ?? '', ...new Set(addresses.map(wordsOfAddress))].join('\n');
  const text = cutToUtf8Bytes(`${cutToUtf8Bytes(head, HEAD_BYTES)}\n${bodyOf(message)}`, limitBytes);
  // Some letters are several in their plain form.
  return cutToUtf8Bytes(asSearched(text), limitBytes);
}

/** To put marks in order costs the square of their number; no letter of a language has thirty (UAX #15, stream-safe text). */
const MANY_MARKS = /(\p{M}{30})\p{M}+/gu;

/**
 * A text or a search as it is given to PostgreSQL, whose idea of a letter depends on the locale of the database: in lower
 * case, in one Unicode form, invisible characters left out, all other signs than those of ASCII made blanks. So are `/<>&`,
 * behind which its parser looks for paths, tags and entities, and would make one word of several, or none.
 */
export function asSearched(text: string): string {
  return text
    .replace(MANY_MARKS, '$1')
    .normalize('NFKC')
    .toLowerCase()
    .replace(/[\u00ad\u200b-\u200f\u2060-\u2064\ufeff]/g, '')
    .replace(/[/<>&]|[^\p{ASCII}\p{L}\p{N}\p{M}]+/gu, ' ');
}

function wordsOfAddress({ name, address }: Address): string {
  return `${name} ${address} ${address.replaceAll('@', ' ')}`;
}

function bodyOf({ text, html, snippet }: Searched): string {
  if (text !== null && text.trim() !== '') return cutToUtf8Bytes(text, SEARCHED_TEXT_BYTES);
  if (html === null) return snippet;
  return cutToUtf8Bytes(leadingTextOfHtml(html, SEARCHED_TEXT_BYTES), SEARCHED_TEXT_BYTES);
}
