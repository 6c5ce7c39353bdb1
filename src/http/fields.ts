import { z } from 'zod';
import { type Id, type IdPrefix, isId } from '../core/ids.ts';
import { timeField } from '../core/time-field.ts';

/** The name of a tenant. */
export const tenantField = z
  .string()
  .regex(/^[A-Za-z0-9_.-]{1,64}$/, { error: 'must be 1 to 64 of A-Z a-z 0-9 _ . -' });

/** For `refine`, since a pattern for it needs a flag, and a flag has no place in JSON Schema. */
export const isWithoutControls = (text: string) => !/\p{Cc}/u.test(text);

/** Text without U+0000, which PostgreSQL's text refuses. */
export function textField(maxLength: number) {
  return z
    .string()
    .max(maxLength)
    .refine((text) => !text.includes('\0'), { error: 'must not hold U+0000' });
}

/** An offset can lead beyond it, to years that PostgreSQL does not read. */
const LAST_TIME_MS = Date.parse('9999-12-31T23:59:59.999Z');

/**
 * From when on old mail is read. No mail is older than 1970 to Gmail; and of the years before 100 not every step on the
 * way back out of the database makes the same time.
 */
export const sinceField = timeField.transform(
  (text) => new Date(Math.min(Math.max(0, Date.parse(text)), LAST_TIME_MS)),
);

/** The id in a filter of a list. One that can be none is a fault of the request; one of nothing just finds nothing. */
export function idField<P extends IdPrefix>(prefix: P) {
  return z.string().transform((text, context): Id<P> => {
    if (isId(prefix, text)) return text;
    context.addIssue({ code: 'custom', message: `must be an id, ${prefix}_ and 32 hex digits` });
    return z.NEVER;
  });
}
