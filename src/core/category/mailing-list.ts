import type { Email } from 'postal-mime';
import { decodeEncodedWords } from '../encoded-words.ts';
import { headerValue } from '../mime.ts';
import { cutToLength, onOneLine } from '../text.ts';
import type { MailingList } from './schema.ts';

/** In UTF-16 units. A longer address is dropped: half of one leads elsewhere. */
const LONGEST_URI = 2_000;

/** RFC 2919 has at most 255 octets for a list identifier. Some senders write whole sentences of tokens. */
const LONGEST_LIST_ID = 255;

/** How much of a header is looked at: it bounds the work on a hostile one. */
const LONGEST_HEADER = 16_000;

/** In the order in which they are preferred: a page, a mail to write, a page that anybody on the way can read. */
const SCHEMES = ['https:', 'mailto:', 'http:'];

/**
 * The mailing list a mail came through, or the newsletter it is; null if it has neither a List-Id (RFC 2919) nor a
 * List-Unsubscribe with an address (RFC 2369, 3.2).
 */
export function findMailingList(email: Email): MailingList | null {
  const { id, name } = readListId(listHeader(email, 'list-id'));
  const unsubscribe = preferred(readUris(listHeader(email, 'list-unsubscribe')));
  if (id === '' && unsubscribe === '') return null;
  return { id, name, unsubscribe, oneClick: schemeOf(unsubscribe) === 'https:' && isOneClick(email) };
}

/** RFC 8058, 3.1: there is but one value. */
function isOneClick(email: Email): boolean {
  const value = headerValue(email, 'list-unsubscribe-post');
  return value !== '' && value.trim().toLowerCase() === 'list-unsubscribe=one-click';
}

/**
 * A header on one line. Encoded words have no place in an address, and some senders write a long one so. By plain
 * searches, as in all of this file: most mail has these headers, and patterns cost more than all else here.
 */
function listHeader(email: Email, key: string): string {
  const value = headerValue(email, key).slice(0, LONGEST_HEADER);
  const decoded = decodeEncodedWords(value);
  return decoded !== value || value.includes('\t') ? onOneLine(decoded) : value;
}

/** `The list <list.example.com>`; without brackets in mail of old (RFC 2919, 3: obs-list-id-content), or a bare name. */
function readListId(value: string): { id: string; name: string | null } {
  const open = value.lastIndexOf('<');
  if (open === -1) return { id: cutToLength(value.trim(), LONGEST_LIST_ID), name: null };
  const close = value.indexOf('>', open);
  const id = withoutBlanks(value.slice(open + 1, close === -1 ? value.length : close));
  const phrase = value.slice(0, open).trim();
  // A quoted-string (RFC 5322, 3.2.4).
  const name = phrase.startsWith('"') ? phrase.replace(/^"|"$/g, '').replace(/\\(.)/g, '$1') : phrase;
  return {
    id: cutToLength(id, LONGEST_LIST_ID),
    name: name === '' ? null : cutToLength(name, LONGEST_LIST_ID),
  };
}

/**
 * RFC 2369, 2: addresses in angle brackets, set apart by commas; blanks inside the brackets are those of folding. A
 * header without any brackets is taken for one address, or some with commas.
 */
function readUris(value: string): string[] {
  if (value === '') return [];
  const uris = value.includes('<') ? bracketed(value) : value.split(/[\s,]+/);
  return uris.filter((uri) => uri !== '' && uri.length <= LONGEST_URI);
}

function bracketed(value: string): string[] {
  const uris: string[] = [];
  let close = 0;
  for (let open = value.indexOf('<'); open !== -1 && close !== -1; open = value.indexOf('<', close)) {
    close = value.indexOf('>', open);
    if (close !== -1) uris.push(withoutBlanks(value.slice(open + 1, close)));
  }
  return uris;
}

/** The first of the scheme that is preferred among those there are; '' if none is of a known one. */
function preferred(uris: readonly string[]): string {
  let best = SCHEMES.length;
  let chosen = '';
  for (const uri of uris) {
    const rank = SCHEMES.indexOf(schemeOf(uri));
    if (rank === -1 || rank >= best) continue;
    best = rank;
    chosen = uri;
  }
  return chosen;
}

function schemeOf(uri: string): string {
  return uri.slice(0, uri.indexOf(':') + 1).toLowerCase();
}

function withoutBlanks(text: string): string {
  return text.includes(' ') ? text.replaceAll(' ', '') : text;
}
