import { leadingTextOfHtml } from './html-text.ts';
import { collapseBlanks, cutToLength } from './text.ts';

/** Longest snippet, in UTF-16 units: about what Gmail's own snippets hold, and a line of a list. */
const SNIPPET_LENGTH = 200;

/** How much of a text is looked at: enough for a snippet below some blank lines and a rule of dashes. */
const WINDOW_LENGTH = 600;

type Body = { text: string | null; html: string | null };

/**
 * The first words of a mail as plain text on one line, at most 200 characters: of its text, else of its html,
 * else the provider's own preview; empty if there is none. `<` and `&` in it are characters: it is no html.
 */
export function snippetOf(body: Body, preview: string | null): string {
  return (
    firstWords(body.text) ||
    (body.html === null ? '' : firstWords(leadingTextOfHtml(body.html, SNIPPET_LENGTH + 50))) ||
    firstWords(preview)
  );
}

function firstWords(text: string | null): string {
  if (text === null) return '';
  const window = text.trimStart().slice(0, WINDOW_LENGTH);
  return cutToLength(collapseBlanks(window).trim(), SNIPPET_LENGTH).trimEnd();
}
