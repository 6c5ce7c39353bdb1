import { z } from 'zod';
import { MailgressError } from '../core/errors.ts';
import { timeField } from '../core/time-field.ts';

/**
 * The time that an option names, as the API takes it. A date is its midnight in UTC.
 *
 * @throws MailgressError `usage`
 */
export function parseTime(option: string, given: string): string {
  const time = z.union([timeField, z.iso.date()]).safeParse(given);
  if (time.success) return new Date(time.data).toISOString();
  throw new MailgressError(
    'usage',
    `${option} ${given}: must be a time such as 2026-11-01T00:00:00Z, or a date such as 2026-11-01`,
  );
}
