import { decodeEncodedWords } from './encoded-words.ts';

/** In bytes. What is longer than a line of a mail may be (RFC 5322, 2.1.1) is no id, and would not fit an index. */
const LONGEST_ID_BYTES = 998;

/**
 * The message ids of a Message-ID, In-Reply-To or References header: with angle brackets, each once, in their
 * order. What stands around them (comments, the phrases of RFC 822) is left out.
 *
 * Blanks inside the brackets come from careless folding and are dropped. A header without any brackets gives its
 * words that have an `@`, in brackets. Encoded words, which have no place here either (RFC 2047, 5), come from
 * programs that fold long ids as if they were text.
 */
export function readMessageIds(value: string): string[] {
  // Most mail answers no other.
  if (value === '') return [];
  return idsOf(decodeEncodedWords(value));
}

function idsOf(value: string): string[] {
  const bracketed = value.match(/<[^<>]+>/g)?.map((id) => id.replace(/\s+/g, ''));
  const ids = new Set(bracketed ?? wordsWithAt(value));
  return [...ids].filter((id) => id !== '<>' && Buffer.byteLength(id) <= LONGEST_ID_BYTES);
}

function wordsWithAt(value: string): string[] {
  const words = value.split(/[\s,;<>]+/).filter((word) => word.includes('@'));
  return words.map((word) => `<${word}>`);
}
