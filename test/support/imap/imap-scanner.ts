/*
 * Follows one direction of an IMAP connection without holding bytes back. A line that ends in `{n}` or `{n+}` is followed
 * by n bytes that are no lines (RFC 9051 4.3); the response or command ends with the first line that does not.
 */

export type Scanned = {
  /** Lines that ended in this chunk, without CR LF; the start of each at most. */
  lines: string[];
  /** Where in this chunk a response or command ended: the offset after its CR LF. */
  boundaries: number[];
};

export type ImapScanner = {
  feed(chunk: Buffer): Scanned;
  /** Nothing has begun that has not ended. */
  isAtBoundary(): boolean;
};

const LINE_LIMIT = 4096;
const LITERAL = /\{(\d+)\+?\}$/;

export function createImapScanner(): ImapScanner {
  let line = '';
  let literalLeft = 0;
  let isAtBoundary = true;

  return {
    isAtBoundary: () => isAtBoundary,
    feed(chunk) {
      const scanned: Scanned = { lines: [], boundaries: [] };
      let at = 0;
      while (at < chunk.length) {
        isAtBoundary = false;
        if (literalLeft > 0) {
          const skipped = Math.min(literalLeft, chunk.length - at);
          literalLeft -= skipped;
          at += skipped;
          continue;
        }
        const end = chunk.indexOf(10, at);
        const upTo = end === -1 ? chunk.length : end + 1;
        if (line.length < LINE_LIMIT) line += chunk.toString('latin1', at, Math.min(upTo, at + LINE_LIMIT));
        at = upTo;
        if (end === -1) break;
        const text = line.replace(/\r?\n$/, '');
        line = '';
        scanned.lines.push(text);
        literalLeft = Number(LITERAL.exec(text)?.[1] ?? 0);
        if (LITERAL.test(text)) continue;
        isAtBoundary = true;
        scanned.boundaries.push(at);
      }
      return scanned;
    },
  };
}
