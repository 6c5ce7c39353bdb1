import { z } from 'zod';

/** A time as a request may give it: ISO 8601 with its offset from UTC, to the second or finer. */
export const timeField = z.iso.datetime({
  offset: true,
  // What compares it with another has nothing to say then.
  abort: true,
  error: 'must be a time such as 2026-11-01T00:00:00Z',
});
