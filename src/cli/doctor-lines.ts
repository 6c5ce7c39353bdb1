import type { Level, Report } from '../doctor/report.ts';
import { colour, visible } from './print.ts';

/** So long a subject may be to keep the messages in one column; longer ones push theirs to the right. */
const LONGEST_SUBJECT = 34;

const MARKS: Readonly<Record<Level, { text: string; format: 'green' | 'yellow' | 'red' }>> = {
  ok: { text: 'ok  ', format: 'green' },
  warn: { text: 'warn', format: 'yellow' },
  fail: { text: 'FAIL', format: 'red' },
};

/** A report for people: by area, what is wrong in colour with what to do below it, and how many of each last. */
export function linesOfReport(report: Report, seconds: number): string[] {
  const { checks } = report;
  const width = Math.min(LONGEST_SUBJECT, Math.max(0, ...checks.map(({ subject }) => subject.length)));
  const lines: string[] = [];
  let area: string | undefined;
  for (const check of checks) {
    if (check.area !== area) lines.push(...(area === undefined ? [] : ['']), colour('bold', check.area));
    area = check.area;
    const { text, format } = MARKS[check.level];
    lines.push(
      `  ${colour(format, text)}  ${visible(check.subject).padEnd(width)}  ${visible(check.message)}`,
    );
    if (check.advice !== null)
      lines.push(`        ${' '.repeat(width)}  ${colour('dim', `-> ${visible(check.advice)}`)}`);
  }
  return [...lines, '', summaryOf(report, seconds)];
}

function summaryOf({ checks, failures, warnings }: Report, seconds: number): string {
  const well = checks.length - failures - warnings;
  const parts = [
    ...(failures > 0 ? [colour('red', count(failures, 'failure'))] : []),
    ...(warnings > 0 ? [colour('yellow', count(warnings, 'warning'))] : []),
    colour('green', `${well} ok`),
  ];
  return `${parts.join(', ')}  ${colour('dim', `in ${seconds.toFixed(1)} s`)}`;
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}
