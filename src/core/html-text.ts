import { resolveReferences } from './html-references.ts';
import { collapseBlanks } from './text.ts';

/** The start of a comment, a declaration or a tag; of a tag the slash of an end tag, and its name. */
const MARKUP = /<(?:!--|[!?]|(\/?)([a-z][a-z0-9:-]*))/iy;

/** What begins a value in quotes, or ends a tag. */
const TAG_PART = />|=\s*(["'])/g;

/** Elements whose content is nothing to read, and what ends them. */
const HIDDEN_ELEMENTS: ReadonlyMap<string, RegExp> = new Map([
  ['style', /<\/style/gi],
  ['script', /<\/script/gi],
  ['title', /<\/title/gi],
]);

/** Tags that may stand inside a word; every other one parts words. */
const INLINE_TAGS: ReadonlySet<string> = new Set(
  'a abbr b bdi bdo big code del em font i ins mark o:p q s small span strong sub sup tt u wbr'.split(' '),
);

/**
 * The first words of an html text: tags, comments, styles, scripts and the title left out, character references
 * resolved, runs of blanks made single. Stops at `enoughLength` UTF-16 units or a little later.
 *
 * For a snippet, not for display: it follows the rules of html no further than that. One pass, linear in the
 * length of the html whatever it holds.
 */
export function leadingTextOfHtml(html: string, enoughLength: number): string {
  let text = '';
  // Asked of the text itself, V8 would copy all of it each time, to have in one piece what was put together of many.
  let endsInBlank = true;
  let at = 0;

  /** Blank upon blank would leave no room for words: a table layout is hundreds of empty cells. */
  function append(run: string): void {
    const addition = endsInBlank && run.startsWith(' ') ? run.slice(1) : run;
    if (addition === '') return;
    text += addition;
    endsInBlank = addition.endsWith(' ');
  }

  while (at < html.length && text.length < enoughLength) {
    const open = html.indexOf('<', at);
    const run = html.slice(at, open === -1 ? html.length : open);
    append(collapseBlanks(resolveReferences(run)));
    if (open === -1) break;
    const markup = readMarkup(html, open);
    append(markup.text);
    at = markup.end;
  }
  return text;
}

/** Where the markup at `open` ends, and what stands for it in the text. What nobody closes runs to the end. */
function readMarkup(html: string, open: number): { end: number; text: string } {
  MARKUP.lastIndex = open;
  const [opener, slash, name = ''] = MARKUP.exec(html) ?? [];
  // "a < b", unescaped.
  if (opener === undefined) return { end: open + 1, text: '<' };
  if (opener === '<!--') return { end: endOf('-->', html, open), text: '' };

  const end = endOfTag(html, MARKUP.lastIndex);
  const tag = name.toLowerCase();
  const closer = slash === '' ? HIDDEN_ELEMENTS.get(tag) : undefined;
  if (closer === undefined) return { end, text: INLINE_TAGS.has(tag) ? '' : ' ' };
  closer.lastIndex = end;
  return { end: closer.exec(html)?.index ?? html.length, text: ' ' };
}

/** A value in quotes may hold a `>`; where nobody closes them, the next `>` counts. */
function endOfTag(html: string, from: number): number {
  TAG_PART.lastIndex = from;
  for (let part = TAG_PART.exec(html); part !== null; part = TAG_PART.exec(html)) {
    const quote = part[1];
    if (quote === undefined) return TAG_PART.lastIndex;
    const close = html.indexOf(quote, TAG_PART.lastIndex);
    if (close === -1) return endOf('>', html, TAG_PART.lastIndex);
    TAG_PART.lastIndex = close + 1;
  }
  return html.length;
}

function endOf(closer: string, html: string, from: number): number {
  const found = html.indexOf(closer, from);
  return found === -1 ? html.length : found + closer.length;
}
