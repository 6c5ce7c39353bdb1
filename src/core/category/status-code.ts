/**
 * An enhanced status code (RFC 3463, 2) in a text: of class 2, 4 or 5, and no part of a longer number with dots,
 * such as an IP address.
 */
const STATUS = /(?<![\d.])[245]\.\d{1,3}\.\d{1,3}(?!\.?\d)/;

/** The first enhanced status code in a text, null if there is none. qmail writes `(#5.1.1)`, servers `550 5.1.1`. */
export function findStatusCode(text: string): string | null {
  return STATUS.exec(text)?.[0] ?? null;
}
