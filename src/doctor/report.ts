import { z } from 'zod';

/*
 * What the doctor says: one line for each thing it looked at, in an order that stays, and how many of them are bad.
 */

export const levelSchema = z.enum(['ok', 'warn', 'fail']);
export type Level = z.infer<typeof levelSchema>;

/** In the order in which they are told. */
export const AREAS = [
  'configuration',
  'database',
  'public url',
  'pubsub',
  'egress',
  'gmail',
  'apps script',
  'imap',
  'endpoints',
  'keys',
  'mail',
] as const;
export type Area = (typeof AREAS)[number];

export const lineSchema = z.object({
  id: z.string().describe('Stays the same from run to run: `database.clock`, `imap.src_...`'),
  area: z.enum(AREAS),
  subject: z.string().describe('What was looked at'),
  level: levelSchema.describe('warn: it works, and should be looked at; fail: it does not work'),
  message: z.string(),
  advice: z.string().nullable().describe('What to do about it'),
});
export type Line = z.infer<typeof lineSchema>;

export const reportSchema = z.object({
  checks: z.array(lineSchema),
  failures: z.int(),
  warnings: z.int(),
});
export type Report = z.infer<typeof reportSchema>;

/** What a check finds. */
export type Finding = { level: Level; message: string; advice?: string };

export const ok = (message: string): Finding => ({ level: 'ok', message });
export const warn = (message: string, advice: string): Finding => ({ level: 'warn', message, advice });
export const fail = (message: string, advice: string): Finding => ({ level: 'fail', message, advice });

/** By area, and within one as they were given. */
export function toReport(lines: readonly Line[]): Report {
  const checks = AREAS.flatMap((area) => lines.filter((line) => line.area === area));
  const count = (level: Level) => checks.filter((line) => line.level === level).length;
  return { checks, failures: count('fail'), warnings: count('warn') };
}
