import { MailgressError } from '../core/errors.ts';
import { createLimit } from '../core/limit.ts';
import { describeStoreError } from '../store/unavailable.ts';
import type { Secrets } from './hide-secrets.ts';
import type { Area, Finding, Line } from './report.ts';

/** One thing to look at. It makes one line, whatever happens. */
export type Check = {
  id: string;
  area: Area;
  subject: string;
  /** What it may take, where that is more than others may. */
  needsMs?: number;
  /** The signal is raised when its time is over; what it answers or throws then is not waited for. */
  look(signal: AbortSignal): Promise<Finding> | Finding;
};

export type Limits = {
  /** What one check may take. */
  checkMs: number;
  /** What all of them may take: those that have not begun by then are told as not looked at. */
  totalMs: number;
};

/** Somebody waits for the answer, maybe behind a proxy that gives up after a minute. */
export const DEFAULT_LIMITS: Limits = { checkMs: 10_000, totalMs: 45_000 };

/** Mail servers take many logins at once for an attack; the others are only to be spared a burst. */
const AT_ONCE: Partial<Record<Area, number>> = { imap: 3 };
const OTHERS_AT_ONCE = 8;

/**
 * Looks at everything side by side, and answers in the order given. A check that throws or takes too long makes a line of
 * its own and holds up no other. It never rejects.
 */
export async function runChecks(
  checks: readonly Check[],
  secrets: Secrets,
  { checkMs, totalMs }: Limits = DEFAULT_LIMITS,
): Promise<Line[]> {
  const endsMs = performance.now() + totalMs;
  const areas = [...new Set(checks.map(({ area }) => area))];
  const limits = new Map(areas.map((area) => [area, createLimit(AT_ONCE[area] ?? OTHERS_AT_ONCE)]));
  const look = async (check: Check): Promise<Finding> =>
    performance.now() > endsMs
      ? notReached(totalMs)
      : lookInTime(check, Math.max(checkMs, check.needsMs ?? 0));
  return Promise.all(
    checks.map(async (check) => {
      const finding = (await limits.get(check.area)?.run(() => look(check))) ?? notReached(totalMs);
      return toLine(check, finding, secrets);
    }),
  );
}

export function toLine(
  { id, area, subject }: Omit<Check, 'look'>,
  { level, message, advice = null }: Omit<Finding, 'advice'> & { advice?: string | null },
  secrets: Secrets,
): Line {
  const [said, advised] = [secrets.hide(message), advice === null ? null : secrets.hide(advice)];
  return { id, area, subject: secrets.hide(subject), level, message: said, advice: advised };
}

async function lookInTime(check: Check, checkMs: number): Promise<Finding> {
  const patience = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Finding>((resolve) => {
    timer = setTimeout(() => {
      resolve({
        level: 'fail',
        message: `no answer within ${Math.round(checkMs / 1000)} s`,
        advice: 'look whether it is up, and whether a firewall lets us through',
      });
      patience.abort();
    }, checkMs);
  });
  // In a function of its own, so that what is thrown at once is caught as well.
  const look = async () => check.look(patience.signal);
  try {
    return await Promise.race([look().catch(findingOf), late]);
  } finally {
    clearTimeout(timer);
  }
}

/** What a check did not expect. */
function findingOf(error: unknown): Finding {
  const isOurs = error instanceof MailgressError && error.code !== 'internal';
  const reason = isOurs ? error.message : describeStoreError(error);
  return { level: 'fail', message: `could not be looked at: ${reason}` };
}

function notReached(totalMs: number): Finding {
  return {
    level: 'warn',
    message: `not looked at: there are too many for ${Math.round(totalMs / 1000)} s`,
    advice: 'look at one source with `mailgress doctor --source ID`',
  };
}
