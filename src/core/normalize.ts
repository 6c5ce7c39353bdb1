import { hash } from 'node:crypto';
import { attachmentsOf } from './attachment-content.ts';
import { readAuthentication } from './authentication.ts';
import { categoryOf } from './category/category.ts';
import { findBodyStart, leadingHeaders } from './header-block.ts';
import { isoTime } from './mail-date.ts';
import { readHeaders } from './mail-headers.ts';
import type { ParsedMail } from './mended-parser.ts';
import { type Attachment, EVENT_TEXT_LIMIT_BYTES, type MailContent } from './message.ts';
import { parseMime } from './mime.ts';
import { placementOf } from './placement.ts';
import type { RawMail } from './raw-mail.ts';
import { type Receiver, receiverOf, UNKNOWN_RECEIVER } from './receiver.ts';
import { snippetOf } from './snippet.ts';
import { readSpamFilters } from './spam-filters.ts';
import { subjectGroupOf } from './subject-group.ts';
import { cutToUtf8Bytes, repairStrings, toStorable } from './text.ts';

/** `fullText` and `fullHtml` are the whole of what the content has cut; null if it is not cut there. */
export type Normalized = { content: MailContent; fullText: string | null; fullHtml: string | null };

type Body = { text: string | null; html: string | null; attachments: Attachment[]; isReadable: boolean };

/** Most headers read of a mail that cannot be parsed as a whole: more than real ones have, and soon read. */
const RESCUED_HEADERS_BYTES = 256 * 1024;

const NO_HEADERS: ParsedMail = { headers: [], headerLines: [], attachments: [], isWhole: true };
const NO_BODY: Body = { text: null, html: null, attachments: [], isReadable: true };

/**
 * The message as published. Never throws for what a mail holds, and no string of the result holds U+0000 or a lone
 * surrogate. Sizes and hashes are right whatever `parse` says:
 *
 * - `failed`: the parser gave up (parts nested too deep or too many; lines or headers beyond a limit). Of the headers
 *   those are told that stand whole in the first 256 KiB; no body, no attachments.
 * - `partial`: everything that can be read is here, but
 *   - U+0000 or a lone surrogate was replaced by U+FFFD, be it in what the source knows;
 *   - a Date header is no date, or the provider's own date cannot be written with a year of four digits;
 *   - a Message-ID header says something, but no id;
 *   - an address header says something, but names neither an address nor a group;
 *   - a line among the headers is no header;
 *   - the body holds something, but no part came of it (a multipart without its boundary);
 *   - a part stands behind the end of its multipart;
 *   - a multipart inside holds something, but no part; or a line among the headers of a part is none: then it is read
 *     as the first one of its body, unless headers of its content follow.
 * - `ok`: the rest. Bytes that are wrong in their charset count as read, in the one that they probably are in (see
 *   `charset.ts`); where that cannot be told, U+FFFD stands for them.
 *
 * Nothing is opened that is a mail or an archive by itself: attached mails, TNEF (winmail.dat), S/MIME and PGP are
 * attachments as they came, and uuencode stays in the text.
 *
 * `text` and `html` are what the mail has, null for none; neither is made from the other, unless a mail sets parts of
 * both kinds one below the other: then both have all of them, up to 1 MiB of the other kind.
 *
 * @param receivedAt when Mailgress took the mail; published where the provider does not know better.
 * @param receiver who took the mail in, so that its results can be told from forged ones. A Gmail id says it is Gmail.
 */
export async function normalize(
  mail: RawMail,
  receivedAt: Date,
  receiver: Receiver = UNKNOWN_RECEIVER,
): Promise<Normalized> {
  return contentOf(mail, await parse(mail), receivedAt, receiver);
}

/** The message of a mail whose body must not be tried: as `normalize` has it when the parser gives up. */
export async function normalizeHeaders(
  mail: RawMail,
  receivedAt: Date,
  receiver: Receiver = UNKNOWN_RECEIVER,
): Promise<Normalized> {
  return contentOf(mail, { email: await parseLeadingHeaders(mail), isParsed: false }, receivedAt, receiver);
}

type Parsed = { email: ParsedMail; isParsed: boolean };

async function contentOf(
  mail: RawMail,
  { email, isParsed }: Parsed,
  receivedAt: Date,
  receiver: Receiver,
): Promise<Normalized> {
  const headers = readHeaders(email);
  const body = isParsed && !mail.truncated ? readBody(email, mail.bytes) : NO_BODY;
  const text = body.text === null ? null : cutToUtf8Bytes(body.text, EVENT_TEXT_LIMIT_BYTES);
  const html = body.html === null ? null : cutToUtf8Bytes(body.html, EVENT_TEXT_LIMIT_BYTES);
  const internalDate = mail.internalDate === null ? null : isoTime(mail.internalDate);

  const content: MailContent = {
    providerId: mail.providerId,
    threadId: mail.threadId,
    ...headers.fields,
    receivedAt: internalDate ?? receivedAt.toISOString(),
    placement: placementOf(mail),
    labels: [...mail.labels],
    folder: mail.folder,
    authentication: readAuthentication(email.headers, receiverOf(mail.identity, receiver)),
    spamFilters: readSpamFilters(email.headers),
    category: await categoryOf(email),
    subjectGroup: subjectGroupOf(headers.fields.subject),
    truncated: mail.truncated,
    text: null,
    html: null,
    textTruncated: text !== body.text || html !== body.html,
    snippet: snippetOf({ text, html }, mail.snippet),
    attachments: body.attachments,
    sizeBytes: mail.bytes.byteLength,
    sha256: hash('sha256', mail.bytes, 'hex'),
    parse: 'ok',
  };

  const isRepaired = repairStrings(content);
  // These are the long ones, and storable already.
  content.text = text;
  content.html = html;
  const isDateLost = mail.internalDate !== null && internalDate === null;
  if (isRepaired || isDateLost || !headers.isReadable || !body.isReadable) content.parse = 'partial';
  if (!isParsed) content.parse = 'failed';
  return {
    content,
    fullText: text === body.text ? null : body.text,
    fullHtml: html === body.html ? null : body.html,
  };
}

/** The mail, of a truncated one its headers; what cannot be parsed as a whole, as far as its headers go. */
async function parse(mail: RawMail): Promise<Parsed> {
  try {
    const bytes = mail.truncated ? leadingHeaders(mail.bytes, Number.POSITIVE_INFINITY) : mail.bytes;
    return { email: await parseMime(bytes), isParsed: true };
  } catch {
    // Whatever the parser throws is about this mail: it is kept as failed, with its bytes, for a better parser.
    return { email: await parseLeadingHeaders(mail), isParsed: false };
  }
}

function parseLeadingHeaders(mail: RawMail): Promise<ParsedMail> {
  return parseMime(leadingHeaders(mail.bytes, RESCUED_HEADERS_BYTES)).catch(() => NO_HEADERS);
}

function readBody(email: ParsedMail, bytes: Uint8Array): Body {
  // Made storable before they are cut: a replacement can take more bytes than what it replaces.
  const text = email.text === undefined ? null : toStorable(email.text);
  const html = email.html === undefined ? null : toStorable(email.html);
  const attachments = attachmentsOf(email);
  const isUnchanged = text === (email.text ?? null) && html === (email.html ?? null);
  const isFound = text !== null || html !== null || attachments.length > 0;
  return {
    text,
    html,
    attachments,
    isReadable: isUnchanged && email.isWhole && (isFound || isBodyBlank(bytes)),
  };
}

function isBodyBlank(bytes: Uint8Array): boolean {
  return bytes.subarray(findBodyStart(bytes)).every((byte) => byte <= 0x20);
}
