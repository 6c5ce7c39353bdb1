import ipaddr from 'ipaddr.js';
import type { Header } from 'postal-mime';
import type { ReceiverFacts } from './receiver.ts';

/** Headers that tell results, of the receiver's own hand; both in their order. */
export type ReceiverBlock = {
  /** Above the Received with which it took the mail in: nobody before it can write there. */
  above: Header[];
  /** Directly below that Received: by its place it could be the sender's first header. */
  below: Header[];
};

/** RFC 8601, RFC 8617 and RFC 7208, 9.1. */
const RESULT_HEADERS = new Set(['authentication-results', 'arc-authentication-results', 'received-spf']);

/** What an author's program writes, with Content-*: no receiver puts these above its own trace (RFC 5322, 3.6). */
const AUTHOR_HEADERS = new Set([
  ...['from', 'sender', 'reply-to', 'to', 'cc', 'bcc', 'subject', 'date'],
  ...['message-id', 'in-reply-to', 'references', 'mime-version'],
]);

/** Most headers looked at: the trace of a receiver has some thirty. */
const MAX_HEADERS = 200;

/** Longest start of a Received that is read; what it is about, `from` and `by`, comes first (RFC 5321, 4.4). */
const LONGEST_HOP = 1_000;

/**
 * The headers that the receiving side wrote. Every hop puts its headers above those it got (RFC 5321, 4.4), so what
 * stands above the Received of the receiver's first hop is its own, and all below may be forged.
 *
 * From the top: a Received inside the receiver (its `by` is one of its hosts; it has no `from`, or one of its hosts
 * with an address of its own) is passed. The first Received from outside is where the mail came in; there the block
 * ends. A `by` of somebody else's ends it at once: then not this receiver took the mail in, it was put into the
 * mailbox later. The name behind `from` is what the other side said in its greeting, the address is not: any address
 * of the internet makes it the outside, and so does what stands in an address's place and cannot be read. A Received
 * that is not clear ends the block too, and so does Exchange's of a mail that a customer's program has put there
 * (`with mapi`): below it are the headers of the author. Where no Received is from outside, the block ends with the first header of
 * an author, and is the receiver's only if one of its hosts is among them: else it is a copy that a program put there.
 *
 * A receiver writes its results in one place. Those below the next Received are of an earlier hop, and the addresses
 * that are a provider's own are those of all its customers: one of them may have sent the mail with results on it.
 */
export function findReceiverBlock(headers: readonly Header[], receiver: ReceiverFacts): ReceiverBlock {
  const above: Header[] = [];
  let isComplete = false;
  let hasOwnHop = false;
  for (const [at, header] of headers.slice(0, MAX_HEADERS).entries()) {
    if (isOfAuthor(header)) break;
    if (RESULT_HEADERS.has(header.key) && !isComplete) above.push(header);
    if (header.key !== 'received') continue;
    const hop = readHop(header.value);
    if (hop.by !== null && !isInside(hop.by, receiver)) break;
    if (hop.by !== null && receiver.isOwnHost(hop.by) !== false) hasOwnHop = true;
    if (!hop.isClear || hop.isSubmission) break;
    if (hop.from !== null && !isFromInside(hop.from, hop.by, receiver)) {
      return { above, below: isComplete ? [] : runOfResults(headers, at + 1, hop.by, receiver) };
    }
    isComplete = above.length > 0;
  }
  return { above: hasOwnHop ? above : [], below: [] };
}

function isOfAuthor({ key }: Header): boolean {
  return AUTHOR_HEADERS.has(key) || key.startsWith('content-');
}

/**
 * Two write their results below their own Received, where a sender's first header would stand if they wrote none:
 *
 * - Gmail always writes Received-SPF, then Authentication-Results. Whatever does not begin with both, the first in
 *   Gmail's name, is not Gmail's; nor is it below the Received of a host that has not one of Gmail's names.
 * - A filter of one's own server (a milter) sees the mail before Received is there. Whoever names the server says that
 *   it deletes an Authentication-Results that comes with its name, as RFC 8601, 5 asks; no rule has it delete others.
 *
 * Only the first Authentication-Results can be the receiver's; whatever follows may be the sender's.
 */
function runOfResults(
  headers: readonly Header[],
  start: number,
  by: string | null,
  receiver: ReceiverFacts,
): Header[] {
  const run = headers.slice(start, start + 2);
  const [spf, results] = run[0]?.key === 'received-spf' ? run : [undefined, run[0]];
  if (by === null || results?.key !== 'authentication-results') return [];
  const { nameInSpfBelow, isNamedHost, isProviderHost } = receiver;
  const isOfProvider =
    nameInSpfBelow !== null && isProviderHost(by) && spf?.value.includes(`(${nameInSpfBelow}:`) === true;
  if (isOfProvider) return [spf, results];
  return isNamedHost(by) ? [results] : [];
}

const OPEN = 0x28;
const SEMICOLON = 0x3b;

/**
 * What a Received says, lower-case; null for a clause that it does not have. It is not clear where `by` is missing
 * behind `from`, or stands there twice: one of the two may be of what the other side said, in its greeting or, where
 * the host quotes it further back, as the sender's address.
 */
type Hop = { from: string | null; by: string | null; isClear: boolean; isSubmission: boolean };

function readHop(value: string): Hop {
  const text = value.slice(0, LONGEST_HOP).toLowerCase();
  const [byAt = -1, ...others] = wordsAt(text, 'by');
  const last = others.at(-1) ?? byAt;
  const by = last === -1 ? '' : firstName(text.slice(last + 2).trimStart());
  const hasFrom = wordsAt(text, 'from')[0] === 0;
  return {
    from: hasFrom ? text.slice(4, last === -1 ? text.length : last).trim() : null,
    by: by === '' ? null : by,
    isClear: others.length === 0 && (by !== '' || !hasFrom),
    isSubmission: text.includes(' with mapi '),
  };
}

/** Where the word stands with blanks around it, or at the beginning. */
function wordsAt(text: string, word: string): number[] {
  const found: number[] = [];
  let at = text.indexOf(word);
  while (at !== -1) {
    const end = at + word.length;
    const isAlone =
      (at === 0 || isBlank(text.charCodeAt(at - 1))) &&
      (end === text.length || isBlank(text.charCodeAt(end)));
    if (isAlone) found.push(at);
    at = text.indexOf(word, at + 1);
  }
  return found;
}

/** The name that begins the text, without what stands behind it. */
function firstName(text: string): string {
  let end = 0;
  while (end < text.length && !isNameEnd(text.charCodeAt(end))) end += 1;
  return text.slice(0, end);
}

function isNameEnd(char: number): boolean {
  return isBlank(char) || char === SEMICOLON || char === OPEN;
}

function isBlank(char: number): boolean {
  return char === 0x20 || (char >= 0x09 && char <= 0x0d);
}

/** Names without a dot and below .internal, and bare addresses, are of the inside of whoever wrote them on top. */
function isInside(name: string, receiver: ReceiverFacts): boolean {
  const isLocalName = !name.includes('.') || /\.(?:internal|local|localdomain|prv)$/.test(name);
  return receiver.isOwnHost(name) !== false || isLocalName || isAddress(name);
}

/** Where only a name stands, no connection was taken: it is a step of delivery (Dovecot's LMTP), or told by the host. */
function isFromInside(from: string, by: string | null, receiver: ReceiverFacts): boolean {
  if (bracketed(from).some((text) => !isAddress(text) && text !== 'unix socket')) return false;
  const words = from.split(/[\s()[\],;<=>@]+/).map(plain);
  const addresses = words.filter(isAddress);
  if (addresses.length > 0)
    return addresses.every((address) => isPrivate(address) || receiver.isOwnAddress(address));
  const [name = ''] = words;
  return (
    name === by || name === 'localhost' || receiver.isOwnHost(name) === true || receiver.isNamedHost(name)
  );
}

/** What stands in brackets is an address (RFC 5321, 4.1.3), or what Cyrus writes: `[unix socket]`. */
function bracketed(text: string): string[] {
  return [...text.matchAll(/\[([^\]]*)/g)].map(([, inner = '']) => plain(inner.trim()));
}

/** An address without its mark, and an IPv4 address that is mapped to IPv6 (RFC 4291, 2.5.5.2) as IPv4. */
function plain(word: string): string {
  return word.replace(/^ipv6:/, '').replace(/^::ffff:(?=\d+\.)/, '');
}

function isAddress(word: string): boolean {
  return ipaddr.IPv6.isValid(word) || /^\d{1,3}(?:\.\d{1,3}){3}$/.test(word);
}

/** RFC 1918, RFC 4193, loopback and link-local addresses. */
function isPrivate(address: string): boolean {
  return /^(?:10\.|127\.|192\.168\.|169\.254\.|172\.(?:1[6-9]|2\d|3[01])\.|::1$|f[cd][0-9a-f]{2}:|fe80:)/.test(
    address,
  );
}
