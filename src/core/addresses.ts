import type { Email, Address as Entry } from 'postal-mime';
import type { Address, MailContent } from './message.ts';
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
    from: email.from === undefined ? [] : [email.from],
    sender: email.sender === undefined ? [] : [email.sender],
    'reply-to': email.replyTo ?? [],
    to: email.to ?? [],
    cc: email.cc ?? [],
    bcc: email.bcc ?? [],
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

function mailboxesOf(entries: readonly Entry[]): Address[] {
  if (entries.length === 0) return [];
  return entries
    .flatMap((entry) => entry.group ?? [entry])
    .filter(({ address }) => address !== '')
    .map(({ name, address }) => ({ name: onOneLine(name), address }));
}

/** An empty group names nobody, and means to: `undisclosed-recipients:;`. One without a name means nothing. */
function isNaming({ name, group, address }: Entry): boolean {
  return group === undefined ? address !== '' : name !== '' || group.some((member) => member.address !== '');
}

function hasValue(email: Email, key: string): boolean {
  return email.headers.some((header) => header.key === key && header.value !== '');
}
