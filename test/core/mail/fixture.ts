import type { MailContent } from '../../../src/core/message.ts';

/** A mail and what of the message is to be so. An array that is expected is expected whole, its items in part. */
export type Fixture = { name: string; mail: string | Uint8Array; expect: Expectation };

export type Expectation = { [K in keyof MailContent]?: MailContent[K] extends object[] ? object[] : unknown };

/** Bytes by their code points (`\xe9` is one byte), lines ended as on the wire. */
export function bytes(latin1: string): Uint8Array {
  return Buffer.from(latin1.replace(/\r?\n/g, '\r\n'), 'latin1');
}

/** A body in this charset, 8bit. */
export function textIn(charset: string, latin1: string, type = 'text/plain'): Uint8Array {
  return bytes(`Content-Type: ${type}; charset=${charset}\nContent-Transfer-Encoding: 8bit\n\n${latin1}`);
}

/** A mail of one header and no body. */
export function header(line: string): string {
  return `${line}\n\n`;
}

/** A multipart/mixed of one part; the part has headers, a blank line and a body. */
export function withPart(part: string): string {
  return `MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n${part}\n--b--\n`;
}
