import type { Address as Entry, Mailbox } from 'postal-mime';
import { addressTokens, type Piece } from './address-tokens.ts';
import { decodeEncodedWords, isOfEncodedWords } from './encoded-words.ts';

const ADDRESS = /^[^@\s<>]+@[^@\s<>]+$/;
const QUOTED_ADDRESS = /^"(?:[^"\\]|\\.)*"@[^@\s]+$/s;
/** RFC 5322, 3.2.3, and RFC 6532, 3.2. */
const DOT_ATOM = /^[^\s"(),.:;<>@[\\\]]+(?:\.[^\s"(),.:;<>@[\\\]]+)*$/;
const WORD_CHARACTER = /[\p{L}\p{N}_]/u;

type Name = { text: string; written: string; isQuoted: boolean };

/**
 * The entries of a header of addresses (RFC 5322, 3.4) in their order: mailboxes, and groups of them. Names are
 * decoded; an entry that has no address has an empty one. Linear in the length of the header, whatever it holds.
 *
 * It reads what mail writes, beyond the RFC: `Ada ada@example.com`; an address in quotes or a comment alone, or with
 * brackets in an encoded word; `;` between entries, or nothing between two addresses in brackets. Groups inside a group are part of it.
 *
 * An address is as it came but for quotes that its local part does without: `"ada"@example.com` is `ada@example.com`,
 * while `"ada king"@example.com` is none without them.
 */
export function parseAddressList(value: string): Entry[] {
  return parse(value, decodeEncodedWords);
}

function parse(value: string, decode: (text: string) => string): Entry[] {
  // What else is below the space says nothing here.
  const list = value.replace(/\n/g, ' ').replace(/[^\t -\uffff]/g, '');
  const entries: Entry[] = [];
  let group: { name: string; group: Mailbox[] } | undefined;
  let pieces: Piece[] = [];
  const endEntry = () => {
    if (pieces.length === 0) return;
    for (const entry of entriesOf(pieces, decode)) {
      if (group === undefined) entries.push(entry);
      else for (const member of entry.group ?? [entry]) group.group.push(member);
    }
    pieces = [];
  };
  const endGroup = () => {
    endEntry();
    if (group !== undefined) entries.push(group);
    group = undefined;
  };
  for (const token of addressTokens(list)) {
    if (typeof token !== 'string') pieces.push(token);
    else if (token === ',') endEntry();
    else if (token === ';') endGroup();
    else {
      // What stands before the colon is the name of a group, but an address is none.
      const named = pieces.length === 0 ? undefined : mailboxOf(pieces, decode);
      if (named?.address) endEntry();
      pieces = [];
      group ??= { name: named?.address === '' ? named.name : '', group: [] };
    }
  }
  endGroup();
  return entries;
}

function entriesOf(pieces: readonly Piece[], decode: (text: string) => string): Entry[] {
  const parts = partsOf(pieces);
  if (parts.length > 1) return parts.map((part) => mailboxOf(part, decode));
  const mailbox = mailboxOf(pieces, decode);
  if (mailbox.address !== '') return [mailbox];
  const [only] = pieces;
  if (pieces.length === 1 && only?.kind === 'quoted' && ADDRESS.test(only.text)) {
    return [{ name: '', address: only.text }];
  }
  if (decode !== decodeEncodedWords) return [mailbox];
  // Some programs encode the address with the name. An encoded address alone is none: nobody has written it as one.
  const isEncoded = pieces.every(({ text, kind }) => kind === 'text' && isOfEncodedWords(text));
  return isEncoded && hasBracketedAddress(mailbox.name) ? parse(mailbox.name, (text) => text) : [mailbox];
}

/** What belongs to each address in brackets, unless it is the one before it again: up to it, and all behind the last. */
function partsOf(pieces: readonly Piece[]): (readonly Piece[])[] {
  let last = '';
  const ends: number[] = [];
  for (const [index, { kind, text }] of pieces.entries()) {
    if (kind !== 'bracketed' || text === last || !ADDRESS.test(text)) continue;
    last = text;
    ends.push(index + 1);
  }
  if (ends.length < 2) return [pieces];
  return ends.map((end, at) => pieces.slice(ends[at - 1] ?? 0, at === ends.length - 1 ? undefined : end));
}

/** As `/<[^<>]+@[^<>]+>/` would tell, in linear time. */
function hasBracketedAddress(text: string): boolean {
  return text.split('<').some((behind, index) => {
    const at = behind.indexOf('@', 1);
    return index > 0 && at !== -1 && behind.indexOf('>') > at + 1;
  });
}

function mailboxOf(pieces: readonly Piece[], decode: (text: string) => string): Mailbox {
  const { names, bracketed, comments } = byKind(pieces);
  if (names.length === 0 && comments.length > 0) names.push(unquoted(comments.splice(0).join(' ')));
  // A name may have brackets of its own: `Ada <Sales> <ada@example.com>`.
  const place = Math.max(
    0,
    bracketed.findIndex((text) => text.includes('@')),
  );
  const [inBrackets] = bracketed.splice(place, 1);
  const address = withoutIdleQuotes(inBrackets ?? takeAddress(names));
  if (names.length === 0 && comments.length > 0) names.push(unquoted(comments.join(' ')));
  const name = decode([...names.map(({ text }) => text), ...bracketed].join(' '));
  return { name: name === address ? '' : name, address };
}

function byKind(pieces: readonly Piece[]): { names: Name[]; bracketed: string[]; comments: string[] } {
  const names: Name[] = [];
  const bracketed: string[] = [];
  const comments: string[] = [];
  for (const { kind, text, written, isJoined } of pieces) {
    const last = names.at(-1);
    if (kind === 'bracketed') bracketed.push(text);
    else if (kind === 'comment') comments.push(text);
    else if (isJoined && last !== undefined) {
      last.text += text;
      last.written += written;
    } else names.push({ text, written, isQuoted: kind === 'quoted' });
  }
  return { names, bracketed, comments };
}

function unquoted(text: string): Name {
  return { text, written: text, isQuoted: false };
}

/**
 * The address among the names, which it is taken out of: the last that is one, else the first word with an `@` of
 * the last that has one. In quotes it is none, but for its local part.
 */
function takeAddress(names: Name[]): string {
  const whole = names.findLastIndex(({ text, written, isQuoted }) =>
    isQuoted ? QUOTED_ADDRESS.test(written) : ADDRESS.test(text),
  );
  if (whole !== -1) return names.splice(whole, 1)[0]?.written ?? '';
  for (const [index, { text, isQuoted }] of [...names.entries()].reverse()) {
    const found = isQuoted ? undefined : findAddress(text);
    if (found === undefined) continue;
    const rest = `${text.slice(0, found.start).trimEnd()} ${text.slice(found.end).trimStart()}`.trim();
    names.splice(index, 1, ...(rest === '' || rest === '>' ? [] : [unquoted(rest)]));
    return text.slice(found.start, found.end);
  }
  return '';
}

/** Without the punctuation around it. */
function findAddress(text: string): { start: number; end: number } | undefined {
  if (!text.includes('@')) return undefined;
  for (const { 0: word, index } of text.matchAll(/\S+/g)) {
    const at = word.indexOf('@');
    let start = 0;
    let end = word.length;
    while (start < at && !WORD_CHARACTER.test(word.charAt(start))) start += 1;
    while (end > at && !WORD_CHARACTER.test(word.charAt(end - 1))) end -= 1;
    if (start < at && end > at + 1) return { start: index + start, end: index + end };
  }
  return undefined;
}

function withoutIdleQuotes(address: string): string {
  if (!address.startsWith('"')) return address;
  const [, local = '', domain = ''] = /^"((?:[^"\\]|\\.)*)"\s*(@.*)$/s.exec(address) ?? [];
  const unescaped = local.replace(/\\(.)/g, '$1');
  return DOT_ATOM.test(unescaped) ? unescaped + domain : address;
}
