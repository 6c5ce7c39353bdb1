import { collapseBlanks, cutToLength } from './text.ts';

/** Longest key, in UTF-16 units; what is the same that far belongs together. */
const LONGEST_GROUP = 200;

/**
 * A reply or forward mark with its blanks, as programs write it in their user's language, with the counters of some
 * (`Re[2]:`, `RE (3):`, `Re^2:`). Left out are marks that other subjects begin with as well: single letters (Italian
 * `R:`, `I:`), `FS:` (for sale), `CT:`, `PD:`, `TL:`. Sticky, so that each try looks at one place only and the whole
 * stays linear.
 */
const MARK = new RegExp(
  [
    '(?:re|fwd?|aw|antw|antwort|wg|sv|vs|tr|rv|res|enc|ref\\.?|ynt|ilt|i̇lt|İlt|odp|vl|vb|doorst|bls|trs|rép',
    '|réf\\.?|rif|vá|továbbítás|răsp|atb|yml|απ|σχετ|πρθ|отв|пересл|תגובה|השב|הועבר|رد|إعادة توجيه',
    '|回复|回復|回覆|答复|答覆|转发|轉寄|轉發|返信|転送|답장|회신|전달)',
    '[ \\t]?(?:\\[\\d{1,4}\\]|\\(\\d{1,4}\\)|\\^\\d{1,4})?[ \\t\\u00a0\\u202f]*[:：]\\s*',
  ].join(''),
  'iy',
);

/** `[list] `, as mailing lists and trackers write it. */
const TAG = /(\[[^[\]]{1,80}\])\s*/y;

/** Most tags that are looked at. */
const MAX_TAGS = 8;

/**
 * The subject without reply and forward marks, at its start and around it, blanks single, in lower case, at most 200 characters: a key for
 * mails about one thing, not for display. Empty if there is no subject, or nothing else in it.
 *
 * Tags stay, since `[a] x` and `[b] x` are two things; marks behind them go, and so does a tag that a reply repeats:
 * `[list] x`, `Re: [list] x`, `[list] Re: x` and `[list] Re: [list] x` are one.
 */
export function subjectGroupOf(subject: string | null): string {
  const text = withoutForwardFrame((subject ?? '').trim());
  const tags: string[] = [];
  let tagsBeforeMark = 0;
  let at = endOfMarks(text, 0);
  for (let count = 0; count < MAX_TAGS && text[at] === '['; count += 1) {
    TAG.lastIndex = at;
    const tag = TAG.exec(text)?.[1]?.toLowerCase();
    if (tag === undefined) break;
    const end = endOfMarks(text, TAG.lastIndex);
    if (!tags.slice(0, tagsBeforeMark).includes(tag)) tags.push(tag);
    if (end > TAG.lastIndex) tagsBeforeMark = tags.length;
    at = end;
  }
  const rest = text.slice(at, at + 4 * LONGEST_GROUP);
  const root = tags.length === 0 ? rest : `${tags.join(' ')} ${rest}`;
  return cutToLength(collapseBlanks(root).trim().toLowerCase(), LONGEST_GROUP).trimEnd();
}

/** What programs of old set around a subject that they forward: `[Fwd: x]`, `Re: [Fwd: x]`, `x (fwd)` (RFC 5256, 2.1). */
function withoutForwardFrame(text: string): string {
  let inner = text;
  for (;;) {
    if (inner.slice(-5).toLowerCase() === '(fwd)') inner = inner.slice(0, -5).trimEnd();
    else if (inner.endsWith(']')) {
      const start = endOfMarks(inner, 0);
      if (inner.slice(start, start + 5).toLowerCase() !== '[fwd:') return inner;
      inner = inner.slice(start + 5, -1).trim();
    } else return inner;
  }
}

function endOfMarks(text: string, start: number): number {
  // Every mark has a colon, and most subjects that are no reply have none.
  if (!text.includes(':', start) && !text.includes('：', start)) return start;
  MARK.lastIndex = start;
  let end = start;
  while (MARK.test(text)) end = MARK.lastIndex;
  return end;
}
