import type { Email, Header } from 'postal-mime';
import { type Addresses, readAddresses } from './addresses.ts';
import { readMailDate } from './mail-date.ts';
import type { MailContent } from './message.ts';
import { readMessageIds } from './message-ids.ts';
import { headerValue } from './mime.ts';
import { onOneLine } from './text.ts';

type HeaderFields = Addresses &
  Pick<MailContent, 'messageId' | 'inReplyTo' | 'references' | 'subject' | 'date' | 'headers'>;

/** Most references kept: a thread's root and the nearest 99, which is what tells threads. */
const MAX_REFERENCES = 100;

/**
 * What the headers of a mail say: of a header that may stand only once the first counts, what is absent is null or
 * empty. A subject that is present but empty is ''. `headers` are all of them, unfolded, encoded words as they came.
 *
 * `isReadable` is false if a header says something that cannot be read as what it should be: Date, Message-ID, one
 * of addresses, or a line that is no header at all.
 */
export function readHeaders(email: Email): { fields: HeaderFields; isReadable: boolean } {
  const messageIdText = headerValue(email, 'message-id');
  const messageId = readMessageIds(messageIdText)[0] ?? null;
  const dateText = headerValue(email, 'date');
  const date = readMailDate(dateText);
  const { addresses, areReadable } = readAddresses(email);
  return {
    fields: {
      messageId,
      inReplyTo: readMessageIds(headerValue(email, 'in-reply-to'))[0] ?? null,
      references: rootAndNearest(readMessageIds(headerValue(email, 'references'))),
      ...addresses,
      subject: email.subject === undefined ? null : onOneLine(email.subject),
      date,
      headers: email.headers.map(({ originalKey, value }) => [originalKey, value]),
    },
    isReadable:
      (messageId !== null || messageIdText === '') &&
      (date !== null || dateText === '') &&
      areReadable &&
      email.headers.every(isHeader),
  };
}

function rootAndNearest(references: string[]): string[] {
  if (references.length <= MAX_REFERENCES) return references;
  return [...references.slice(0, 1), ...references.slice(1 - MAX_REFERENCES)];
}

/** RFC 5322, 2.2: a name is of printable ASCII. Of any other line the parser makes a name too, up to its first colon. */
function isHeader({ originalKey }: Header): boolean {
  return /^[\x21-\x39\x3b-\x7e]+$/.test(originalKey);
}
