const ESC = 0x1b;
const LF = 0x0a;
const SHIFT_OUT = 0x0e;
const SHIFT_IN = 0x0f;
const PLUS = 0x2b;
const MINUS = 0x2d;
const SLASH = 0x2f;
const TILDE = 0x7e;

/** As every machine has them that Node runs on. */
const littleEndianUnits = new TextDecoder('utf-16le', { ignoreBOM: true });

/**
 * The text in one of the 7-bit charsets that the Encoding Standard leaves out, undefined for any other name:
 * UTF-7 (RFC 2152), ISO-2022-KR (RFC 1557) and HZ (RFC 1843). Old mail is in them.
 *
 * @param charset in lower case.
 */
export function decodeShifted(bytes: Uint8Array, charset: string): string | undefined {
  if (charset === 'utf-7' || charset === 'unicode-1-1-utf-7' || charset === 'utf7') return decodeUtf7(bytes);
  if (charset === 'iso-2022-kr' || charset === 'csiso2022kr') return decodeIso2022Kr(bytes);
  if (charset === 'hz-gb-2312' || charset === 'hz') return decodeHz(bytes);
  return undefined;
}

/**
 * `+`, UTF-16 in base64 and a `-` that may be missing; `+-` is `+`. One buffer takes all of it: a string for each shift
 * is 40 times the size of a mail that is nothing else.
 */
function decodeUtf7(bytes: Uint8Array): string {
  // A unit takes one byte or more.
  const units = new Uint16Array(bytes.length);
  let length = 0;
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at] ?? 0;
    if (byte !== PLUS || !isOfShift(bytes[at + 1])) {
      units[length++] = byte;
      continue;
    }
    if (bytes[at + 1] === MINUS) {
      units[length++] = PLUS;
      at += 1;
      continue;
    }
    let group = 0;
    let bits = 0;
    let sextet = sextetOf(bytes[at + 1]);
    for (; sextet !== -1; sextet = sextetOf(bytes[at + 1])) {
      at += 1;
      group = ((group << 6) | sextet) & 0x3fffff;
      bits += 6;
      if (bits < 16) continue;
      bits -= 16;
      units[length++] = group >> bits;
    }
    if (bytes[at + 1] === MINUS) at += 1;
  }
  return littleEndianUnits.decode(units.subarray(0, length));
}

function isOfShift(byte: number | undefined): boolean {
  return byte === MINUS || sextetOf(byte) !== -1;
}

/** What a character of base64 stands for, -1 for any other. */
function sextetOf(byte = 0): number {
  if (byte >= 0x41 && byte <= 0x5a) return byte - 0x41;
  if (byte >= 0x61 && byte <= 0x7a) return byte - 0x61 + 26;
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30 + 52;
  if (byte === PLUS) return 62;
  return byte === SLASH ? 63 : -1;
}

/** Its double bytes are those of EUC-KR without their high bits, between SO and SI. */
function decodeIso2022Kr(bytes: Uint8Array): string {
  const plain = new Uint8Array(bytes.length + 1);
  let length = 0;
  let highBit = 0;
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at] ?? 0;
    // The announcement ESC $ ) C.
    if (byte === ESC && bytes[at + 1] === 0x24) at += 3;
    else if (byte === SHIFT_OUT) highBit = 0x80;
    else if (byte === SHIFT_IN) highBit = 0;
    else plain[length++] = byte > 0x20 ? byte | highBit : byte;
    if (byte === LF) highBit = 0;
  }
  return new TextDecoder('euc-kr').decode(plain.subarray(0, length));
}

/** Its double bytes are those of GB 2312 without their high bits, between `~{` and `~}`. */
function decodeHz(bytes: Uint8Array): string {
  const plain = new Uint8Array(bytes.length + 1);
  let length = 0;
  let highBit = 0;
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at] ?? 0;
    const next = bytes[at + 1];
    if (byte === LF) highBit = 0;
    if (byte !== TILDE) {
      plain[length++] = byte > 0x20 ? byte | highBit : byte;
      continue;
    }
    at += 1;
    if (next === 0x7b) highBit = 0x80;
    else if (next === 0x7d) highBit = 0;
    else if (next === TILDE) plain[length++] = TILDE;
    // `~` at the end of a line continues it; anything else is no escape.
    else if (next !== LF) {
      plain[length++] = TILDE;
      plain[length++] = next ?? 0x20;
    }
  }
  return new TextDecoder('gbk').decode(plain.subarray(0, length));
}
