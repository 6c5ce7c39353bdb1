const ESC = 0x1b;
const LF = 0x0a;
const SHIFT_OUT = 0x0e;
const SHIFT_IN = 0x0f;
const TILDE = 0x7e;

const bigEndianUnits = new TextDecoder('utf-16be', { ignoreBOM: true });

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

function decodeUtf7(bytes: Uint8Array): string {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
  return text.replace(/\+([A-Za-z0-9+/]*)-?/g, (shift, encoded: string) => {
    if (encoded === '') return shift === '+-' ? '+' : shift;
    const units = Buffer.from(encoded, 'base64');
    return bigEndianUnits.decode(units.subarray(0, units.length & ~1));
  });
}

/** Its double bytes are those of EUC-KR without their high bits, between SO and SI. */
function decodeIso2022Kr(bytes: Uint8Array): string {
  const plain: number[] = [];
  let highBit = 0;
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at] ?? 0;
    // The announcement ESC $ ) C.
    if (byte === ESC && bytes[at + 1] === 0x24) at += 3;
    else if (byte === SHIFT_OUT) highBit = 0x80;
    else if (byte === SHIFT_IN) highBit = 0;
    else plain.push(byte > 0x20 ? byte | highBit : byte);
    if (byte === LF) highBit = 0;
  }
  return new TextDecoder('euc-kr').decode(Uint8Array.from(plain));
}

/** Its double bytes are those of GB 2312 without their high bits, between `~{` and `~}`. */
function decodeHz(bytes: Uint8Array): string {
  const plain: number[] = [];
  let highBit = 0;
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at] ?? 0;
    const next = bytes[at + 1];
    if (byte === LF) highBit = 0;
    if (byte !== TILDE) {
      plain.push(byte > 0x20 ? byte | highBit : byte);
      continue;
    }
    at += 1;
    if (next === 0x7b) highBit = 0x80;
    else if (next === 0x7d) highBit = 0;
    else if (next === TILDE) plain.push(TILDE);
    // `~` at the end of a line continues it; anything else is no escape.
    else if (next !== LF) plain.push(TILDE, next ?? 0x20);
  }
  return new TextDecoder('gbk').decode(Uint8Array.from(plain));
}
