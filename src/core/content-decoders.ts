/** What the lines of a part are handed to, without their ends. It is finalized once. */
export type ContentDecoder = {
  update(line: Uint8Array): void;
  /** The content, in a buffer of its size. */
  finalize(): Promise<ArrayBuffer>;
};

const LF = 0x0a;
const EQUALS = 0x3d;
const FIRST_BYTES = 1024;

/**
 * The decoder of a Content-Transfer-Encoding, which is looked for anywhere in the value: mail says `"base64"` and
 * `x-base64` too. What is neither base64 nor quoted-printable is taken as it is.
 */
export function createContentDecoder(transferEncoding: string): ContentDecoder {
  if (/base64/i.test(transferEncoding)) return createBase64Decoder();
  if (/quoted-printable/i.test(transferEncoding)) return createQuotedPrintableDecoder();
  return createPlainDecoder();
}

/** Lines as they are, each ended by LF. */
function createPlainDecoder(): ContentDecoder {
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

/**
 * RFC 2045, 6.7. What is no escape stays as it is. Blanks behind the `=` of a soft line break were added on the way
 * (rule 3) and would else leave the `=` and break the line; other blanks at the end of a line stay, since programs
 * that should have encoded them did not.
 */
function createQuotedPrintableDecoder(): ContentDecoder {
  const sink = createSink();
  return {
    update(line) {
      const bytes = reserve(sink, line.length + 1);
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
      if (softBreak === -1) bytes[length++] = LF;
      sink.length = length;
    },
    finalize: async () => contentOf(sink),
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
