import { collapseBlanks, cutToLength } from './text.ts';

/** Longest key, in UTF-16 units; what is the same that far belongs together. */
const LONGEST_GROUP = 200;

/**
 * A reply or forward mark with its blanks, as programs write it in their user's language, with the counters of some
 * (`Re[2]:`, `RE(3):`, `Re^2:`). Single letters (Italian `R:`, `I:`) are left: other subjects begin with them too.
 * Sticky, so that each try looks at one place only and the whole stays linear.
 */
const MARK = new RegExp(
  [
    '(?:re|fwd?|aw|antw|wg|sv|vs|tr|rv|res|enc|ref|ynt|ilt|odp|vl|vb|doorst|bls|trs',
    '|回复|回覆|答复|答覆|转发|轉寄|轉發|返信|転送|답장|전달)',
    '(?:\\[\\d{1,4}\\]|\\(\\d{1,4}\\)|\\^\\d{1,4})?[ \\t]*[:：]\\s*',
  ].join(''),
  'iy',
);

/**
 * The subject without reply and forward marks, blanks single, in lower case, at most 200 characters: a key for
 * mails about one thing, not for display. Empty if there is no subject, or nothing else in it.
 */
export function subjectGroupOf(subject: string | null): string {
  const text = (subject ?? '').trimStart();
  const root = text.slice(endOfMarks(text), endOfMarks(text) + 4 * LONGEST_GROUP);
  return cutToLength(collapseBlanks(root).trim().toLowerCase(), LONGEST_GROUP).trimEnd();
}

function endOfMarks(text: string): number {
  MARK.lastIndex = 0;
  let end = 0;
  while (MARK.test(text)) end = MARK.lastIndex;
  return end;
}
