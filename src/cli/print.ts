import { styleText } from 'node:util';

/*
 * What commands print: JSON for programs, and for people tables that stay in their columns. Colour only where standard
 * output is a terminal that wants it (styleText asks: NO_COLOR, FORCE_COLOR, isTTY).
 */

type Colour = Parameters<typeof styleText>[0];

/** Writes lines to standard output. */
export function say(...lines: string[]): void {
  process.stdout.write(lines.map((line) => `${line}\n`).join(''));
}

export function sayJson(value: unknown): void {
  say(JSON.stringify(value));
}

export function colour(format: Colour, text: string): string {
  return styleText(format, text, { stream: process.stdout });
}

/** Rows under headings, columns two spaces apart. Widths are those of the text without its colour. */
export function table(headings: readonly string[], rows: readonly (readonly string[])[]): string[] {
  // A mail's words may hold anything; here they may not move the cursor or write over other lines.
  const cells = rows.map((row) => row.map(visible));
  const widths = headings.map((heading, at) =>
    Math.max(heading.length, ...cells.map((row) => row[at]?.length ?? 0)),
  );
  const line = (row: readonly string[]) =>
    row
      .map((cell, at) => cell.padEnd(widths[at] ?? 0))
      .join('  ')
      .trimEnd();
  return [colour('dim', line(headings)), ...cells.map(line)];
}

/** The text without control characters, which a terminal would obey. */
export function visible(text: string): string {
  return text.replace(/\p{Cc}+/gu, ' ');
}

/** How long ago, in one unit: `12 s ago`. */
export function ago(time: string | null, now: Date): string {
  if (time === null) return 'never';
  const seconds = Math.max(0, Math.round((now.getTime() - Date.parse(time)) / 1000));
  if (seconds < 120) return `${seconds} s ago`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86_400)} d ago`;
}
