/**
 * The line that a decoder is handed, as the mail has it: with its end, which the last line of the mail may lack, and
 * whether it is that last one.
 */
export type SourceLine = { bytes: Uint8Array; isLast: boolean };

/** What the lines of a part are handed to, without their ends. It is finalized once. */
export type ContentDecoder = {
  update(line: Uint8Array): void;
  /** The content, in a buffer of its size. */
  finalize(): Promise<ArrayBuffer>;
};

const CR = 0x0d;
const LF = 0x0a;
const EQUALS = 0x3d;
const FIRST_BYTES = 1024;

/**
 * The decoder of a Content-Transfer-Encoding, which is looked for anywhere in the value: mail says `"base64"` and
 * `x-base64` too. What is neither base64 nor quoted-printable is taken as it is.
 *
 * Lines of text are each ended by LF, the last too. With a `source`, content is to the byte what was sent: lines end
 * as there, and the end of the last one belongs to the boundary behind it (RFC 2046, 5.1.1), unless the mail ends.
 *
 * @param source the line that is handed over.
 */
export function createContentDecoder(transferEncoding: string, source?: () => SourceLine): ContentDecoder {
  if (/base64/i.test(transferEncoding)) return createBase64Decoder();
  if (/quoted-printable/i.test(transferEncoding)) return createQuotedPrintableDecoder(source);
  return source === undefined ? createTextDecoder() : createExactDecoder(source);
}

/** Lines as they are, each ended by LF. */
function createTextDecoder(): ContentDecoder {
  const sink = createSink();
  return {
    update(line) {
      const bytes = reserve(sink, line.length + 1);
      bytes.set(line, sink.length);
      sink.length += line.length;
      bytes[sink.length++] = LF;
    },
    finalize: async () => contentOf(sink),
  };
}

/** Lines as they are in the mail, but for the line end that the boundary behind them begins with. */
function createExactDecoder(source: () => SourceLine): ContentDecoder {
  const sink = createSink();
  let endLength = 0;
  return {
    update() {
      const { bytes, isLast } = source();
      reserve(sink, bytes.length).set(bytes, sink.length);
      sink.length += bytes.length;
      endLength = isLast ? 0 : lineEndLength(bytes);
    },
    finalize: async () => {
      sink.length -= endLength;
      return contentOf(sink);
    },
  };
}

/** Of CR CR LF, which a program made of CR LF or of data that end in CR, the first CR is none of it. */
function lineEndLength(line: Uint8Array): number {
  if (line.at(-1) !== LF) return 0;
  return line.at(-2) === CR ? 2 : 1;
}

/**
 * RFC 2045, 6.7. What is no escape stays as it is. Blanks behind the `=` of a soft line break were added on the way
 * (rule 3) and would else leave the `=` and break the line; other blanks at the end of a line stay, since programs
 * that should have encoded them did not.
 */
function createQuotedPrintableDecoder(source?: () => SourceLine): ContentDecoder {
  const sink = createSink();
  let droppedLength = 0;
  return {
    update(line) {
      const bytes = reserve(sink, line.length + 2);
      let { length } = sink;
      const softBreak = findSoftBreak(line);
      const end = softBreak === -1 ? line.length : softBreak;
      const firstEscape = line.indexOf(EQUALS);
      const plainEnd = firstEscape === -1 ? end : firstEscape;
      bytes.set(line.subarray(0, plainEnd), length);
      length += plainEnd;
      for (let at = plainEnd; at < end; at += 1) {
        const byte = line[at] ?? 0;
        const escaped = byte === EQUALS && at + 2 < end ? byteOf(line[at + 1], line[at + 2]) : -1;
        bytes[length++] = escaped === -1 ? byte : escaped;
        if (escaped !== -1) at += 2;
      }
      droppedLength = 0;
      if (softBreak === -1) {
        const from = source?.();
        const endLength = from === undefined ? 1 : lineEndLength(from.bytes);
        if (endLength === 2) bytes[length++] = CR;
        if (endLength > 0) bytes[length++] = LF;
        droppedLength = from === undefined || from.isLast ? 0 : endLength;
      }
      sink.length = length;
    },
    finalize: async () => {
      sink.length -= droppedLength;
      return contentOf(sink);
    },
  };
}

/** Where the `=` stands that ends the line softly, -1 if none does. */
function findSoftBreak(line: Uint8Array): number {
  let last = line.length - 1;
  while (line[last] === 0x20 || line[last] === 0x09) last -= 1;
  return line[last] === EQUALS ? last : -1;
}

/**
 * RFC 2045, 6.8. What is not of the alphabet is skipped. `=` ends a group wherever it stands: some programs encode
 * line by line, and each line is padded. A group of one character holds no byte.
 */
function createBase64Decoder(): ContentDecoder {
  const sink = createSink();
  let group = 0;
  let count = 0;
  const flush = () => {
    const bytes = reserve(sink, 2);
    if (count === 2) bytes[sink.length++] = group >> 4;
    if (count === 3) {
      bytes[sink.length++] = group >> 10;
      bytes[sink.length++] = group >> 2;
    }
    group = 0;
    count = 0;
  };
  return {
    update(line) {
      // Also enough for the flushes in between: they write less than the groups they end would have.
      const bytes = reserve(sink, line.length + 2);
      let { length } = sink;
      for (let at = 0; at < line.length; at += 1) {
        const byte = line[at] ?? 0;
        const value = SEXTETS[byte] ?? -1;
        if (value !== -1) {
          group = (group << 6) | value;
          count += 1;
          if (count < 4) continue;
          bytes[length++] = group >> 16;
          bytes[length++] = group >> 8;
          bytes[length++] = group;
          group = 0;
          count = 0;
        } else if (byte === EQUALS && count > 0) {
          sink.length = length;
          flush();
          length = sink.length;
        }
      }
      sink.length = length;
    },
    finalize: async () => {
      flush();
      return contentOf(sink);
    },
  };
}

/** By byte: the six bits that a character of base64 stands for, -1 for the others. */
const SEXTETS = tableOf('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/');
const HEX_DIGITS = tableOf('0123456789abcdef').map((value, byte) =>
  value === -1 ? '0123456789ABCDEF'.indexOf(String.fromCharCode(byte)) : value,
);

function tableOf(alphabet: string): Int8Array {
  return Int8Array.from({ length: 256 }, (_, byte) => alphabet.indexOf(String.fromCharCode(byte)));
}

/** The byte that two hex digits stand for, -1 if one is none. */
function byteOf(first: number | undefined, second: number | undefined): number {
  const high = HEX_DIGITS[first ?? 0] ?? -1;
  const low = HEX_DIGITS[second ?? 0] ?? -1;
  return high === -1 || low === -1 ? -1 : (high << 4) | low;
}

/** Bytes that grow; `length` of them are written. */
type Sink = { bytes: Uint8Array<ArrayBuffer>; length: number };

function createSink(): Sink {
  return { bytes: new Uint8Array(0), length: 0 };
}

/** The bytes of the sink, with room for so many more. */
function reserve(sink: Sink, moreBytes: number): Uint8Array {
  const needed = sink.length + moreBytes;
  if (needed > sink.bytes.length) {
    const size = Math.max(needed, sink.bytes.length * 2, FIRST_BYTES);
    // Where it can, this grows in place: no second copy of 25 MB.
    sink.bytes = new Uint8Array(sink.bytes.buffer.transfer(size));
  }
  return sink.bytes;
}

function contentOf(sink: Sink): ArrayBuffer {
  return sink.bytes.buffer.transfer(sink.length);
}
