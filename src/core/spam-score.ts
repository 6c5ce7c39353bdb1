import type { MailContent } from './message.ts';

type Verdict = MailContent['spamFilters'][number]['verdict'];

/** Longest start of a value that is read: the verdict and the score come first. */
const LONGEST_START = 1_000;

/** The value of `NAME:` in a report `A:1;B:2`, without blanks; '' if it is not there. */
export function reportField(report: string, name: string): string {
  const part = report.split(';').find((one) => one.trimStart().startsWith(`${name}:`)) ?? '';
  return part.slice(part.indexOf(':') + 1).trim();
}

/** What a value that begins with Yes or No says of being spam; undefined for any other. */
export function yesOrNo(value: string | undefined): Verdict | undefined {
  const [, word] = /^\s*(yes|no)\b/i.exec(start(value)) ?? [];
  if (word === undefined) return undefined;
  return word.toLowerCase() === 'yes' ? 'spam' : 'ham';
}

/** The number of `score=` (`hits=` in old versions) in a status; null if there is none. */
export function scoreIn(status: string | undefined): number | null {
  const [, score] = /\b(?:score|hits)=([-+\d.]+)/i.exec(start(status)) ?? [];
  return numberIn(score);
}

/** The first number of a text, finite; null without one. Some write stars before it, or a bar behind it. */
export function numberIn(text: string | undefined): number | null {
  const [number] = /[-+]?\d{1,9}(?:\.\d{1,9})?/.exec(start(text)) ?? [];
  return number === undefined ? null : Number(number);
}

/** As much of a value as is read, '' without one: it bounds the work on a hostile one. */
export function start(value: string | undefined): string {
  return value?.slice(0, LONGEST_START) ?? '';
}

/** By the score from which on it is spam; unknown if one of the two is. */
export function verdictAbove(score: number | null, level: number | null): Verdict {
  if (score === null || level === null) return 'unknown';
  return score >= level ? 'spam' : 'ham';
}
