const QUOTE = 0x22;
const OPEN = 0x28;
const CLOSE = 0x29;
const SEMICOLON = 0x3b;
const EQUALS = 0x3d;

/** One method's result: `method=result reason=... ptype.property=value ...` (RFC 8601, 2.2). */
export type MethodResult = {
  /** Lower-case, without its version. */
  method: string;
  /** Lower-case, as written: which words mean something is for the reader to say. */
  result: string;
  /** `ptype.property` (lower-case) and its value, and `reason`, in their order; of a name the first counts. */
  properties: readonly Property[];
};

export type Property = { key: string; value: string };

export type AuthenticationHeader = {
  /** The `i=` of an ARC-Authentication-Results; null in the plain header. */
  instance: number | null;
  /** The authserv-id, lower-case; null if there is none, as Exchange Online writes it. */
  server: string | null;
  /** In their order; empty for `none`. */
  results: MethodResult[];
};

/** Longest value read. Fastmail's, among the longest, take 2 kB; a signature more takes 150 bytes. */
const LONGEST_VALUE = 32 * 1024;

/** Most tokens read, and most parts: a hundred signatures fit in. */
const MAX_TOKENS = 2_000;
const MAX_PARTS = 200;

/** No `ptype.property` is longer; without a limit a key of dots alone would take time by the square. */
const LONGEST_KEY = 100;

/**
 * Reads the value of an Authentication-Results (RFC 8601, 2.2) or ARC-Authentication-Results (RFC 8617, 4.1.1): as
 * much of it as can be read, nothing else. Comments (nested, RFC 5322, 3.2.2) say nothing, folding may be anywhere, a
 * value may be quoted.
 *
 * A part that is no `method=result` is left out: Exchange Online puts bare domains between its results.
 */
export function parseAuthenticationHeader(value: string): AuthenticationHeader {
  const header: AuthenticationHeader = { instance: null, server: null, results: [] };
  let isServerDue = true;
  for (const part of partsOf(value.slice(0, LONGEST_VALUE))) {
    const [first, ...properties] = pairsOf(part);
    if (isServerDue && first?.key === 'i' && header.instance === null) {
      header.instance = /^\d{1,3}$/.test(first.value) ? Number(first.value) : 0;
      continue;
    }
    if (first === undefined) {
      // What stands behind the server is the version of the header.
      if (isServerDue) header.server = part[0]?.toLowerCase() ?? null;
    } else {
      header.results.push(toResult(first, properties));
    }
    isServerDue = false;
  }
  return header;
}

function toResult(first: Property, properties: readonly Property[]): MethodResult {
  const slash = first.key.indexOf('/');
  const method = slash === -1 ? first.key : first.key.slice(0, slash);
  return { method, result: first.value.toLowerCase(), properties };
}

/** A word, or null for `=` (a quoted one is a word). */
type Token = string | null;

/**
 * The tokens between the semicolons, without comments. One pass by character, to a limit: a regular expression takes
 * several times as long on the one short header that most mails have.
 */
function partsOf(value: string): Token[][] {
  let part: Token[] = [];
  const parts = [part];
  let count = 0;
  let at = 0;
  while (at < value.length && count < MAX_TOKENS && parts.length <= MAX_PARTS) {
    const char = value.charCodeAt(at);
    at += 1;
    if (isBlank(char) || char === CLOSE) continue;
    count += 1;
    if (char === SEMICOLON) {
      part = [];
      parts.push(part);
    } else if (char === OPEN) at = endOfComment(value, at);
    else if (char === EQUALS) part.push(null);
    else if (char === QUOTE) {
      const end = endOfQuoted(value, at);
      part.push(value.slice(at, end).replace(/\\(.)/g, '$1'));
      at = end + 1;
    } else {
      const end = endOfWord(value, at);
      part.push(value.slice(at - 1, end));
      at = end;
    }
  }
  return parts;
}

function endOfWord(value: string, start: number): number {
  let end = start;
  while (end < value.length && !isDelimiter(value.charCodeAt(end))) end += 1;
  return end;
}

function isDelimiter(char: number): boolean {
  return (
    isBlank(char) ||
    char === SEMICOLON ||
    char === EQUALS ||
    char === OPEN ||
    char === CLOSE ||
    char === QUOTE
  );
}

function isBlank(char: number): boolean {
  return char === 0x20 || (char >= 0x09 && char <= 0x0d);
}

/** Behind the parenthesis that closes; the end of the value if none does. */
function endOfComment(value: string, start: number): number {
  let depth = 1;
  for (let at = start; at < value.length; at += 1) {
    const char = value[at];
    if (char === '\\') at += 1;
    else if (char === '(') depth += 1;
    else if (char === ')') depth -= 1;
    if (depth === 0) return at + 1;
  }
  return value.length;
}

/** At the quotation mark that closes; the end of the value if none does. */
function endOfQuoted(value: string, start: number): number {
  for (let at = start; at < value.length; at += 1) {
    if (value[at] === '\\') at += 1;
    else if (value[at] === '"') return at;
  }
  return value.length;
}

/**
 * `key=value` pairs. Blanks and comments may stand around `/` and `.` of a key (`dkim / 1 = pass`, `header . d=x`);
 * a word that belongs to no pair is skipped, and so is the padding of a Base64 value that is not quoted.
 */
function pairsOf(tokens: readonly Token[]): Property[] {
  const pairs: Property[] = [];
  let key = '';
  for (let at = 0; at < tokens.length; at += 1) {
    const token = tokens[at] ?? null;
    if (token !== null) {
      const isGoingOn =
        key.endsWith('.') || key.endsWith('/') || token.startsWith('.') || token.startsWith('/');
      key = isGoingOn && key.length <= LONGEST_KEY ? key + token : token;
      continue;
    }
    const value = tokens[at + 1] ?? null;
    if (key === '' || value === null) continue;
    pairs.push({ key: key.toLowerCase(), value });
    key = '';
    at += 1;
  }
  return pairs;
}
