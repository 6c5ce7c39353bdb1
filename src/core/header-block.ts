const CR = 0x0d;
const LF = 0x0a;
const COLON = 0x3a;
const MBOX_LINE = Buffer.from('From ');

/**
 * Where the body begins: behind the first blank line, or at the end if there is none. Lines end in LF, as the
 * parser has it; a CR before it belongs to the line end.
 */
export function findBodyStart(bytes: Uint8Array): number {
  let end = 0;
  for (const line of linesOf(bytes)) {
    end += line.length;
    if (isBlank(line)) return end;
  }
  return end;
}

/**
 * The first headers of a mail that take at most `limitBytes` together, without the blank line. A header is there
 * as a whole or not at all: half an address is another address.
 */
export function leadingHeaders(bytes: Uint8Array, limitBytes: number): Uint8Array {
  let wholeEnd = 0;
  let end = 0;
  for (const line of linesOf(bytes)) {
    if (!isContinuation(line)) wholeEnd = end;
    end += line.length;
    if (end > limitBytes || isBlank(line)) return bytes.subarray(0, wholeEnd);
  }
  return bytes;
}

/** An mbox file has a line before each mail, `From ada@example.com Mon Jan  1 10:00:00 2024`: no header, and not of it. */
export function withoutMboxLine(bytes: Uint8Array): Uint8Array {
  if (!MBOX_LINE.every((byte, at) => bytes[at] === byte)) return bytes;
  // `From :` is the header.
  const isHeader = bytes[MBOX_LINE.length] === COLON;
  return isHeader ? bytes : bytes.subarray(bytes.indexOf(LF) + 1);
}

/** Whether lines end in CR, as in a file of an old Macintosh: there is one, and no LF at all. */
export function hasLinesEndedByCr(bytes: Uint8Array): boolean {
  return !bytes.includes(LF) && bytes.includes(CR);
}

/** The lines of `bytes` as views, each with its line end; the last may have none. */
export function* linesOf(bytes: Uint8Array): Generator<Uint8Array> {
  let start = 0;
  while (start < bytes.length) {
    const lineFeed = bytes.indexOf(LF, start);
    const end = lineFeed === -1 ? bytes.length : lineFeed + 1;
    yield bytes.subarray(start, end);
    start = end;
  }
}

/** Whether a header line goes on with the header above it (RFC 5322, 2.2.3: it begins with a space or a tab). */
export function isContinuation(line: Uint8Array): boolean {
  return line[0] === 0x20 || line[0] === 0x09;
}

function isBlank(line: Uint8Array): boolean {
  return line.every((byte) => byte === CR || byte === LF);
}
