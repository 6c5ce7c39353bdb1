import type { Email, Address as Entry, Header } from 'postal-mime';
import { parseAddressList } from './address-list.ts';
import { decodeEncodedWords } from './encoded-words.ts';

type Fields = Pick<Email, 'from' | 'sender' | 'replyTo' | 'to' | 'cc' | 'bcc' | 'subject'>;

/**
 * What the parser tells of a mail's headers beside the headers themselves. By itself it reads some of them twice, a
 * group of addresses once more for each level that it may be nested in, and encoded words in fewer forms than ours:
 * 512 kB of them took it seconds.
 *
 * `from` and `sender` are the first mailbox of the first such header, else its first entry; of the lists every header
 * counts. What is absent is left out.
 */
export function readFields(headers: readonly Header[]): Fields {
  const fields: Fields = {};
  const lists = { 'reply-to': [] as Entry[], to: [] as Entry[], cc: [] as Entry[], bcc: [] as Entry[] };
  const seen = new Set<string>();
  for (const { key, value } of headers) {
    if (key === 'to' || key === 'cc' || key === 'bcc' || key === 'reply-to') {
      // One by one: a spread of 100,000 is too many arguments.
      for (const entry of parseAddressList(value)) lists[key].push(entry);
    } else if (key === 'from' || key === 'sender' || key === 'subject') {
      if (seen.has(key)) continue;
      seen.add(key);
      if (key === 'subject') fields.subject = decodeEncodedWords(value);
      else {
        const entry = firstMailbox(parseAddressList(value));
        if (entry !== undefined) fields[key] = entry;
      }
    }
  }
  if (lists['reply-to'].length > 0) fields.replyTo = lists['reply-to'];
  if (lists.to.length > 0) fields.to = lists.to;
  if (lists.cc.length > 0) fields.cc = lists.cc;
  if (lists.bcc.length > 0) fields.bcc = lists.bcc;
  return fields;
}

/** A program may put a name before it that has a comma: `From: Lovelace, Ada <ada@example.com>`. */
function firstMailbox(entries: readonly Entry[]): Entry | undefined {
  for (const entry of entries) {
    const found = (entry.group ?? [entry]).find(({ address }) => address !== '');
    if (found !== undefined) return found;
  }
  return entries.find(({ group }) => group !== undefined) ?? entries[0];
}
