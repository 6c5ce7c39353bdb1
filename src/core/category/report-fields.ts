/** A field of a report. `startsGroup`: a blank line, or nothing, stands above it. */
export type ReportField = { name: string; value: string; startsGroup: boolean };

/** A field's name (RFC 5322, 2.2, in what is used of it) with its colon. */
const NAME = /^([a-z][a-z0-9-]{0,76})[ \t]*:/i;

/**
 * The fields of a machine-readable report (RFC 3464, 2.1; RFC 5965, 3): names in lower case, values unfolded with
 * blanks single.
 *
 * A line that begins like no field goes on with the one above it, also where it is not indented: Exchange Online
 * breaks the lines of a Diagnostic-Code so.
 */
export function readReportFields(text: string): ReportField[] {
  const fields: { name: string; lines: string[]; startsGroup: boolean }[] = [];
  let startsGroup = true;
  for (const line of text.split(/\r\n|\r|\n/)) {
    const name = NAME.exec(line);
    if (line.trim() === '') {
      startsGroup = true;
    } else if (name !== null) {
      fields.push({
        name: (name[1] ?? '').toLowerCase(),
        lines: [line.slice(name[0].length)],
        startsGroup,
      });
      startsGroup = false;
    } else if (!startsGroup) {
      fields.at(-1)?.lines.push(line);
    }
  }
  return fields.map((field) => ({
    name: field.name,
    value: field.lines.join(' ').replace(/\s+/g, ' ').trim(),
    startsGroup: field.startsGroup,
  }));
}

/** The value of the first field of this (lower-case) name; empty if there is none. */
export function fieldValue(fields: readonly ReportField[], name: string): string {
  return fields.find((field) => field.name === name)?.value ?? '';
}
