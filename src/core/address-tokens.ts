import { placesOfEncodedWords } from './encoded-words.ts';

/**
 * What stands between the separators of a list of addresses. `written` is a quoted text with its quotes and escapes;
 * `isJoined` is a text that goes on with the one before it: nothing is between them but the end of quotes, or a comment.
 */
export type Piece = {
  kind: 'text' | 'quoted' | 'comment' | 'bracketed';
  text: string;
  written: string;
  isJoined: boolean;
};

export type Separator = ',' | ';' | ':';

/** What ends a text. A literal behind `@` does not: `ada@[IPv6:2001:db8::1]`. */
const IN_TEXT = /["(<,:;]|=\?|@\[[^\][\s,;<>"]*\]/g;
const IN_QUOTES = /["\\]|=\?/g;
const IN_COMMENT = /[()\\]|=\?/g;
const IN_BRACKETS = /["<>,;@]/g;

/**
 * The pieces and separators of a list of addresses (RFC 5322, 3.2 and 3.4), texts trimmed, none of them empty. Encoded
 * words are text, whatever they hold. Quotes and comments that nobody closes are text too; what stands in brackets
 * that nobody closes ends where the next address may begin, or at the end.
 *
 * Each place is looked at once or twice: what was not found behind one place is not looked for behind the next.
 */
export function* addressTokens(list: string): Generator<Piece | Separator> {
  const words = placesOfEncodedWords(list);
  const quotes = createFinder((from) => findEndOfQuotes(list, from, words));
  const flatComments = createFinder((from) => list.indexOf(')', from));
  const nestedComments = createFinder((from) => findEndOfComment(list, from, words));
  let at = 0;
  let isClosed = false;
  let textStart = 0;
  const textBefore = (end: number): Piece[] => {
    const text = list.slice(textStart, end);
    const trimmed = text.trim();
    if (trimmed === '') return [];
    return [{ kind: 'text', text: trimmed, written: trimmed, isJoined: isClosed && !/^\s/.test(text) }];
  };
  while (at < list.length) {
    IN_TEXT.lastIndex = at;
    const special = IN_TEXT.exec(list);
    if (special === null) break;
    const start = special.index;
    const [found] = special;
    at = start + found.length;
    if (found === '=?') at = words.get(start) ?? at;
    else if (found === ',' || found === ';' || found === ':') {
      yield* textBefore(start);
      yield found;
      textStart = at;
      isClosed = false;
    } else if (found === '<') {
      yield* textBefore(start);
      const { pieces, end } = readBrackets(list, at, quotes);
      yield* pieces;
      textStart = at = end;
      isClosed = false;
    } else if (found === '"' || found === '(') {
      const end = found === '"' ? quotes(at) : (nestedComments(at) ?? flatComments(at));
      if (end === undefined) continue;
      yield* textBefore(start);
      const kind = found === '"' ? 'quoted' : 'comment';
      const text = list.slice(at, end).replace(/\\(.)/g, '$1').trim();
      if (text !== '') yield { kind, text, written: list.slice(start, end + 1), isJoined: false };
      textStart = at = end + 1;
      // `ada(home)@example.com` is one, `ada (home)ada@example.com` are two.
      isClosed = found === '"' ? text !== '' : start > 0 && !/\s/.test(list.charAt(start - 1));
    }
  }
  yield* textBefore(list.length);
}

type Find = (from: number) => number | undefined;

/** What is not behind one place is not behind a later one: looked for once more each time, it takes minutes. */
function createFinder(find: (from: number) => number): Find {
  let isGone = false;
  return (from) => {
    const found = isGone ? -1 : find(from);
    isGone = found === -1;
    return isGone ? undefined : found;
  };
}

function findEndOfQuotes(list: string, from: number, words: ReadonlyMap<number, number>): number {
  IN_QUOTES.lastIndex = from;
  for (let match = IN_QUOTES.exec(list); match !== null; match = IN_QUOTES.exec(list)) {
    if (match[0] === '"') return match.index;
    IN_QUOTES.lastIndex = match[0] === '\\' ? match.index + 2 : (words.get(match.index) ?? match.index + 2);
  }
  return -1;
}

/** Comments may stand in comments (RFC 5322, 3.2.2). */
function findEndOfComment(list: string, from: number, words: ReadonlyMap<number, number>): number {
  let depth = 1;
  IN_COMMENT.lastIndex = from;
  for (let match = IN_COMMENT.exec(list); match !== null; match = IN_COMMENT.exec(list)) {
    if (match[0] === '(') depth += 1;
    else if (match[0] === ')') depth -= 1;
    else
      IN_COMMENT.lastIndex =
        match[0] === '\\' ? match.index + 2 : (words.get(match.index) ?? match.index + 2);
    if (depth === 0) return match.index;
  }
  return -1;
}

/**
 * What stands in brackets, from behind the first. A name may have a `<` of its own: what is before the last one is
 * text. In a route of RFC 822, `<@a,@b:c@d>`, a comma ends nothing.
 */
function readBrackets(list: string, from: number, quotes: Find): { pieces: Piece[]; end: number } {
  const pieces: Piece[] = [];
  const add = (kind: 'text' | 'bracketed', end: number) => {
    const text = list.slice(start, end).trim();
    if (text !== '') pieces.push({ kind, text, written: text, isJoined: false });
  };
  let start = from;
  let hasLocalPart: boolean | undefined;
  IN_BRACKETS.lastIndex = from;
  for (let match = IN_BRACKETS.exec(list); match !== null; match = IN_BRACKETS.exec(list)) {
    const { index } = match;
    if (match[0] === '@') hasLocalPart ??= list.slice(start, index).trim() !== '';
    else if (match[0] === '"') IN_BRACKETS.lastIndex = (quotes(index + 1) ?? index) + 1;
    else if (match[0] === '<') {
      add('text', index);
      start = index + 1;
      hasLocalPart = undefined;
    } else if (match[0] === '>') {
      add('bracketed', index);
      let end = index + 1;
      while (list[end] === '>') end += 1;
      return { pieces, end };
    } else if (hasLocalPart === true) {
      add('bracketed', index);
      return { pieces, end: index };
    }
  }
  add('bracketed', list.length);
  return { pieces, end: list.length };
}
