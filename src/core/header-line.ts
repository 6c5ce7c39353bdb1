import { findUtf8, isKnown } from './charset.ts';
import { isContinuation } from './header-block.ts';

const ESC = 0x1b;
const DOLLAR = 0x24;

/** How far a charset is looked for that headers may be in. */
const SEARCHED_BYTES = 64 * 1024;

/** The names of charsets that a mail has in its headers and those of its parts. */
const NAMED_CHARSET = /charset[ \t]*=[ \t]*["']?([\w.:-]+)/gi;

/**
 * Makes the lines of a mail's headers UTF-8, which is what they may be in beside ASCII (RFC 6532) and what the parser
 * takes them for. Other bytes above ASCII are read in the first charset that the mail names for its text, else in
 * windows-1252; raw ISO-2022-JP, as old programs in Japan send it, by its escapes.
 *
 * Not those of Message-ID: a dedupe key is made of it, which shall not change.
 */
export function createHeaderLineReader(mail: Uint8Array): (line: Uint8Array) => Uint8Array {
  let isMessageId = false;
  let decoder: { decode(bytes: Uint8Array): string } | undefined;
  return (line) => {
    if (!isContinuation(line)) isMessageId = startsAsMessageId(line);
    if (isAscii(line) || isMessageId) return line;
    if (isIso2022Jp(line)) return Buffer.from(new TextDecoder('iso-2022-jp').decode(line));
    if (findUtf8(line) !== undefined) return line;
    decoder ??= new TextDecoder(findCharset(mail) ?? 'windows-1252');
    return Buffer.from(decoder.decode(line));
  };
}

/** By byte: nearly every line ends here. */
function isAscii(line: Uint8Array): boolean {
  for (let at = 0; at < line.length; at += 1) {
    const byte = line[at] ?? 0;
    if (byte >= 0x80 || byte === ESC) return false;
  }
  return true;
}

function startsAsMessageId(line: Uint8Array): boolean {
  // "M" or "m": spares every other line the text.
  if (((line[0] ?? 0) | 0x20) !== 0x6d) return false;
  return /^message-id[ \t]*:/i.test(textOf(line.subarray(0, 20)));
}

function isIso2022Jp(line: Uint8Array): boolean {
  for (let at = line.indexOf(ESC); at !== -1; at = line.indexOf(ESC, at + 1)) {
    if (line[at + 1] === DOLLAR) return line.every((byte) => byte < 0x80);
  }
  return false;
}

function findCharset(mail: Uint8Array): string | undefined {
  const names = textOf(mail.subarray(0, SEARCHED_BYTES)).matchAll(NAMED_CHARSET);
  const charsets = [...names].map(([, name = '']) => name.toLowerCase());
  return charsets.find((name) => isKnown(name) && !/^utf|^(?:us-)?ascii$|^iso-2022/.test(name));
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}
