/**
 * What ended a source's connection, or kept it from one:
 * - `network`: the way to the server, or the server went away without a word about why;
 * - `tls`: there is no connection that nobody else can read;
 * - `auth`: the server refuses who we say we are;
 * - `throttle`: the server wants us less often, or has too many connections;
 * - `folder`: a folder cannot be opened;
 * - `protocol`: the server says what cannot be understood, or does not understand us;
 * - `quota`: what may be fetched in a day is used up;
 * - `store`: the mail could not be kept: the database is away;
 * - `internal`: a fault of ours.
 */
export type SourceFault =
  | 'network'
  | 'tls'
  | 'auth'
  | 'throttle'
  | 'folder'
  | 'protocol'
  | 'quota'
  | 'store'
  | 'internal';

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;

/**
 * A session that lived so long begins the count anew. A login that worked is no proof: a server that takes the password
 * and hangs up would be asked again many times a second.
 */
export const PROVEN_AFTER_MS = 5 * MINUTE_MS;

/** So many refusals, at least 10 minutes apart, and the source is disabled until a person has looked. */
export const MAX_AUTH_FAILURES = 3;

/*
 * Two promises, which pull in opposite directions: a source logs in at most 6 times a minute, whatever happens; and it
 * is back within 30 s after the network is.
 *
 * So only the first fault after a proven session may be answered at once, or after 5 s. Whatever comes after it waits
 * for 10 s at least, whichever faults take turns, which is 6 logins a minute.
 *
 * - network: at once, spread over 2 s, since a server that restarts drops all its clients together. From the second on
 *   12 to 20 s, and never longer however many there are: a network that was dead for an hour is still noticed within
 *   30 s. Growing waits would protect the server, which the limit of connects to one host does here.
 * - store: the database is ours and back soon; 5 s, then up to 60 s.
 * - protocol: from 15 s, doubled up to 15 min, anywhere from 12 s on.
 * - tls: a person has to mend it, or a certificate is renewed: 1 min, doubled up to 30 min.
 * - throttle: each try makes it longer: 5 min, doubled up to 60 min, anywhere in the upper half.
 * - quota: Gmail counts by the day: 30 min, doubled up to 6 h.
 * - folder: this folder alone, the others go on: 15 min, doubled up to 6 h.
 * - auth: 10 min and never less: servers lock accounts after some refusals in a row.
 * - internal: the same input will meet the same fault: 30 s, doubled up to 10 min.
 */
const RANGES: Readonly<Record<SourceFault, (failures: number) => Range>> = {
  network: (failures) => (failures === 1 ? [0, 2 * SECOND_MS] : [12 * SECOND_MS, 20 * SECOND_MS]),
  store: (failures) => [
    failures === 1 ? 5 * SECOND_MS : 10 * SECOND_MS,
    doubled(failures, 10 * SECOND_MS, MINUTE_MS),
  ],
  protocol: (failures) => [12 * SECOND_MS, doubled(failures, 15 * SECOND_MS, 15 * MINUTE_MS)],
  tls: (failures) => widened(failures, MINUTE_MS, 30 * MINUTE_MS),
  throttle: (failures) => {
    const mostMs = doubled(failures, 5 * MINUTE_MS, HOUR_MS);
    return [mostMs / 2, mostMs];
  },
  quota: (failures) => widened(failures, 30 * MINUTE_MS, 6 * HOUR_MS),
  folder: (failures) => widened(failures, 15 * MINUTE_MS, 6 * HOUR_MS),
  auth: () => [10 * MINUTE_MS, 12 * MINUTE_MS],
  internal: (failures) => widened(failures, 30 * SECOND_MS, 10 * MINUTE_MS),
};

type Range = readonly [leastMs: number, mostMs: number];

/**
 * How long to wait before the next login (of `folder`: before the next SELECT), in whole ms.
 *
 * @param failures as `countFault` has it; 1 is the first.
 * @param random in [0, 1); places the wait within its range.
 */
export function sourceRetryMs(fault: SourceFault, failures: number, random: number): number {
  const [leastMs, mostMs] = RANGES[fault](failures);
  return Math.round(leastMs + (mostMs - leastMs) * random);
}

function doubled(failures: number, firstMs: number, longestMs: number): number {
  return Math.min(longestMs, firstMs * 2 ** Math.min(failures - 1, 30));
}

/** From a doubled wait to half as much again, so that what failed together does not come back together. */
function widened(failures: number, firstMs: number, longestMs: number): Range {
  const leastMs = doubled(failures, firstMs, longestMs / 1.5);
  return [leastMs, leastMs * 1.5];
}

export type FaultCount = { fault: SourceFault; failures: number };

/**
 * The count after another fault: of its class in a row, since a session was proven. Without one a fault that would be
 * answered quickly counts as the second: otherwise two such faults that take turns would both be answered at once for ever.
 *
 * @param before null at the start of a source.
 * @param isProven whether the session that ended now had lived for `PROVEN_AFTER_MS`.
 */
export function countFault(before: FaultCount | null, fault: SourceFault, isProven: boolean): FaultCount {
  if (isProven) return { fault, failures: 1 };
  if (before?.fault === fault) return { fault, failures: before.failures + 1 };
  return { fault, failures: fault === 'network' || fault === 'store' ? 2 : 1 };
}
