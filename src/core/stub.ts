import type { Id } from './ids.ts';

/*
 * A stub stands for a mail that is known of and not stored (yet). Whoever reads the source comes back for it.
 */

/** A mail to be fetched. */
export type DueStub = {
  id: Id<'stb'>;
  providerId: string;
  attempts: number;
  /** It came by another way meanwhile. */
  isStored: boolean;
};

/** What became of a stub. */
export type StubResult =
  /** `stored`: it is durable now. `settled`: it was before, or is no mail that came in. */
  | { id: Id<'stb'>; outcome: 'stored' | 'settled' }
  /** It is gone at the provider; or given up. */
  | { id: Id<'stb'>; outcome: 'missing' | 'failed'; error: string | null }
  | { id: Id<'stb'>; outcome: 'retry'; error: string; delayMs: number };

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;

/** After try 1, 2, 3 ... of a mail that cannot be had; then it is kept as failed. Two days in all. */
export const STUB_WAITS_MS: readonly number[] = [
  10 * SECOND_MS,
  MINUTE_MS,
  5 * MINUTE_MS,
  30 * MINUTE_MS,
  2 * HOUR_MS,
  6 * HOUR_MS,
  12 * HOUR_MS,
  24 * HOUR_MS,
];

/** What a failed try makes of a stub: another one later, or the end. */
export function afterFailedTry(
  { id, attempts }: Pick<DueStub, 'id' | 'attempts'>,
  error: string,
  waitsMs: readonly number[] = STUB_WAITS_MS,
): StubResult {
  const delayMs = waitsMs[attempts];
  return delayMs === undefined ? { id, outcome: 'failed', error } : { id, outcome: 'retry', error, delayMs };
}
