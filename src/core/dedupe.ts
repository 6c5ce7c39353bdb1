import { createHash, type Hash } from 'node:crypto';
import {
  findBodyStart,
  hasLinesEndedByCr,
  isContinuation,
  linesOf,
  withoutMboxLine,
} from './header-block.ts';
import type { MailContent } from './message.ts';
import type { MailIdentity, RawMail } from './raw-mail.ts';

const CR = 0x0d;
const LF = 0x0a;
const CHUNK_BYTES = 64 * 1024;
const BYTE_ORDER_MARK = Buffer.from('\ufeff');

/**
 * Headers that are not of the author but of one copy, written on its way or in its store. Two copies of one mail
 * differ in them:
 * - each hop adds Received and X-Received; forwarders add ARC-*, and sign again with DKIM-Signature, which says
 *   nothing of the author that is not hashed anyway (the copy among the sent mails has none);
 * - the last hop adds the envelope (Return-Path, Delivered-To, ...) and its verdicts (Authentication-Results,
 *   Received-SPF, X-Spam-*, X-Gm-*, X-Google-*, those of Exchange, and of filters such as Rspamd);
 * - stores add flags and sizes (Status, X-UID, X-Mozilla-*, Content-Length, ...).
 */
const TRACE_HEADER = new RegExp(
  `^(?:${[
    'received|x-received|return-path|delivered-to|x-delivered-to|x-original-to|envelope-to|x-envelope-[a-z-]+',
    'authentication-results|x-authentication-results|received-spf|arc-[a-z-]+|dkim-signature',
    'x-spam-[a-z-]+|x-spam|x-spamd-[a-z-]+|x-rspamd-[a-z-]+|x-virus-[a-z-]+|x-amavis-[a-z-]+',
    'x-gm-[a-z-]+|x-gmail-[a-z-]+|x-google-[a-z-]+|x-proofpoint-[a-z-]+|x-mimecast-[a-z-]+',
    'x-barracuda-[a-z-]+|x-ironport-[a-z-]+|x-ms-exchange-[a-z0-9-]+|x-forefront-[a-z-]+|x-eop[a-z-]+',
    'x-microsoft-antispam[a-z-]*|x-ms-office365-[a-z-]+|x-ms-traffictypediagnostic|x-ms-publictraffictype',
    'x-apparently-to|x-ymail[a-z-]*|x-yahoo-[a-z-]+|x-zoho[a-z-]*|x-me-[a-z-]+|x-apple-[a-z-]+|x-forwarded-(?:to|for)',
    'status|x-status|x-uid|x-uidl|x-keywords|x-imap[a-z-]*|x-mozilla-[a-z0-9-]+|content-length|lines',
  ].join('|')})[ \\t]*:`,
  'i',
);

/** No name of a trace header is longer. */
const LONGEST_NAME_BYTES = 80;

/**
 * What makes two arrivals the same message inside one mailbox: 16 bytes of a SHA-256 over the first of these that
 * there is. Each base has a tag of its own, so that an id that looks like another base's is not taken for it.
 *
 * 1. `gmail`, if the source says that it is one: the canonical Gmail id. It is the same over Apps Script, the API and
 *    IMAP, and it is another one for each of two mails with one Message-ID.
 * 2. `emailid`, if the source says that it has one: the EMAILID of RFC 8474 within its scope. The server never changes
 *    it, keeps it when it moves or copies the mail (5.1), and it outlives a new UIDVALIDITY, as a uid does not.
 * 3. `message-id`: the Message-ID and the body. Not the Message-ID alone: programs do send different mails under one
 *    (templates, retries with a new text), and those stay two. Not the whole bytes: copies between folders, servers
 *    and paths differ in trace headers, line ends and the line ends behind the last line.
 * 4. `bytes`, without a Message-ID: everything but the trace headers, and what a file has before a mail (a byte order
 *    mark, the line of an mbox).
 *
 * What it accepts of `emailid`: a server may give the same one to a mail that is put into the account again with the
 * very same bytes (5.1): that is one. The same mail by another path (another server of the mailbox, the raw ingress) or
 * without the extension has another base, and is a second one; so is a mail of a server that was set up anew.
 *
 * What it accepts of the others: two mails with one Message-ID and one body that differ in headers only (a list's copy with a
 * changed Subject beside the direct one) are one, and the first to arrive is kept. A list's copy with a footer is a
 * second mail. A truncated mail has no body to hash, so that the whole does not find it, unless it has an id of one of the first two bases.
 *
 * The ledger of keys is never pruned: another way to make a key makes every mail that is read again a new one.
 *
 * Time and memory: one pass, no copy of the body.
 */
export function dedupeKeyOf(mail: RawMail, content: Pick<MailContent, 'messageId'>): Uint8Array {
  const keyById = keyOfIdentity(mail.identity);
  if (keyById !== undefined) return keyById;
  const hash = createHash('sha256');
  const bodyStart = findBodyStart(mail.bytes);
  // Mail whose lines end in CR alone has its Message-ID read since later; its key is what it was before.
  if (content.messageId === null || hasLinesEndedByCr(mail.bytes)) {
    hash.update('bytes\0');
    updateWithAuthorHeaders(hash, withoutStartOfFile(mail.bytes.subarray(0, bodyStart)));
  } else {
    hash.update(`message-id\0${content.messageId}\0`);
  }
  updateWithLines(hash, withoutTrailingLineEnds(mail.bytes.subarray(bodyStart)));
  return hash.digest().subarray(0, 16);
}

/** The key of a mail whose id decides it, before it is fetched; undefined if its bytes do. */
export function keyOfIdentity(identity: MailIdentity): Uint8Array | undefined {
  if (identity.base === 'gmail') return gmailKeyOf(identity.id);
  if (identity.base === 'content') return undefined;
  // The id holds letters, digits, - and _ only (RFC 8474, 7): it cannot take anything over from the scope.
  const hash = createHash('sha256').update(`emailid\0${identity.scope}\0${identity.id}`);
  return hash.digest().subarray(0, 16);
}

/** The key of a Gmail mail, which nothing but its canonical id decides. */
export function gmailKeyOf(id: string): Uint8Array {
  return createHash('sha256').update(`gmail\0${id}`).digest().subarray(0, 16);
}

function withoutStartOfFile(headerBlock: Uint8Array): Uint8Array {
  const isMarked = BYTE_ORDER_MARK.every((byte, at) => headerBlock[at] === byte);
  return withoutMboxLine(isMarked ? headerBlock.subarray(BYTE_ORDER_MARK.length) : headerBlock);
}

function updateWithAuthorHeaders(hash: Hash, headerBlock: Uint8Array): void {
  let isTrace = false;
  for (const line of linesOf(headerBlock)) {
    if (!isContinuation(line)) isTrace = TRACE_HEADER.test(startOf(line));
    if (!isTrace) updateWithLines(hash, line);
  }
}

function startOf(line: Uint8Array): string {
  const { length } = line.subarray(0, LONGEST_NAME_BYTES);
  return Buffer.from(line.buffer, line.byteOffset, length).toString('latin1');
}

/** Hashes the bytes with every line end (CR LF, or a CR alone) as LF: servers and mbox files change them. */
function updateWithLines(hash: Hash, bytes: Uint8Array): void {
  if (!bytes.includes(CR)) {
    hash.update(bytes);
    return;
  }
  const chunk = new Uint8Array(Math.min(CHUNK_BYTES, bytes.length));
  for (let start = 0; start < bytes.length; start += CHUNK_BYTES) {
    const end = Math.min(start + CHUNK_BYTES, bytes.length);
    let length = 0;
    // By index: an iterator takes three times as long, a run from CR to CR forever where there are only CRs.
    for (let at = start; at < end; at += 1) {
      const byte = bytes[at] ?? 0;
      if (byte !== CR) chunk[length++] = byte;
      else if (bytes[at + 1] !== LF) chunk[length++] = LF;
    }
    hash.update(chunk.subarray(0, length));
  }
}

function withoutTrailingLineEnds(bytes: Uint8Array): Uint8Array {
  return bytes.subarray(0, bytes.findLastIndex((byte) => byte !== CR && byte !== LF) + 1);
}
