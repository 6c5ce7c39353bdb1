import { addressParser, type Email, type Address as Entry } from 'postal-mime';
import { mendEncodedWords } from './encoded-words.ts';
import type { Address, MailContent } from './message.ts';
import { headerValue } from './mime.ts';
import { onOneLine } from './text.ts';

export type Addresses = Pick<MailContent, 'from' | 'sender' | 'replyTo' | 'to' | 'cc' | 'bcc'>;

/**
 * The addresses of a mail's headers, in their order, names decoded and on one line. Groups (RFC 5322, 3.4) are
 * flattened into their members; an entry without an address is dropped. `from` and `sender` are the first mailbox
 * of the first such header; of the others every header counts.
 *
 * `areReadable` is false if a header that says something names neither an address nor a group.
 */
export function readAddresses(email: Email): { addresses: Addresses; areReadable: boolean } {
  const entries = {
    from: singleEntries(email, 'from'),
    sender: singleEntries(email, 'sender'),
    'reply-to': mendedEntries(email, 'reply-to') ?? email.replyTo ?? [],
    to: mendedEntries(email, 'to') ?? email.to ?? [],
    cc: mendedEntries(email, 'cc') ?? email.cc ?? [],
    bcc: mendedEntries(email, 'bcc') ?? email.bcc ?? [],
  };
  const unreadable = Object.entries(entries).filter(
    ([key, list]) => !list.some(isNaming) && hasValue(email, key),
  );
  return {
    addresses: {
      from: mailboxesOf(entries.from)[0] ?? null,
      sender: mailboxesOf(entries.sender)[0] ?? null,
      replyTo: mailboxesOf(entries['reply-to']),
      to: mailboxesOf(entries.to),
      cc: mailboxesOf(entries.cc),
      bcc: mailboxesOf(entries.bcc),
    },
    areReadable: unreadable.length === 0,
  };
}

/** The parser gives the first entry alone, also if it has no address (`From: Jane Doe, jane@example.com`). */
function singleEntries(email: Email, key: 'from' | 'sender'): readonly Entry[] {
  const value = headerValue(email, key);
  const mended = mendEncodedWords(value);
  if (mended !== value) return addressParser(mended);
  const first = email[key];
  if (first === undefined) return [];
  return first.address ? [first] : addressParser(value);
}

/** Undefined where no encoded word of these headers is to be mended: what the parser gives is right then. */
function mendedEntries(email: Email, key: string): Entry[] | undefined {
  if (!email.headers.some((header) => header.key === key && header.value.includes('=?'))) return undefined;
  const values = email.headers.filter((header) => header.key === key).map(({ value }) => value);
  const mended = values.map(mendEncodedWords);
  return mended.some((value, at) => value !== values[at])
    ? mended.flatMap((value) => addressParser(value))
    : undefined;
}

function mailboxesOf(entries: readonly Entry[]): Address[] {
  if (entries.length === 0) return [];
  return entries
    .flatMap((entry) => entry.group ?? [entry])
    .filter(({ address }) => address !== '')
    .map(({ name, address }) => ({ name: onOneLine(name), address }));
}

/** An empty group names nobody, and means to: `undisclosed-recipients:;`. */
function isNaming(entry: Entry): boolean {
  return entry.group !== undefined || entry.address !== '';
}

function hasValue(email: Email, key: string): boolean {
  return email.headers.some((header) => header.key === key && header.value !== '');
}
