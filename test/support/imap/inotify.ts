import { readFileSync, writeFileSync } from 'node:fs';

const LIMIT = '/proc/sys/fs/inotify/max_user_instances';

export type InotifyLimit = { instances: number; wasRaised: boolean };

/**
 * How many inotify instances one user may hold. Each Dovecot `imap` process needs one to tell of new mail at once; past
 * the limit it looks every `mailbox_idle_check_interval`. Raised to `wanted` where we may.
 */
export function raiseInotifyLimit(wanted: number): InotifyLimit {
  const before = readLimit();
  if (before >= wanted) return { instances: before, wasRaised: false };
  try {
    writeFileSync(LIMIT, String(wanted));
  } catch {
    return { instances: before, wasRaised: false };
  }
  const instances = readLimit();
  return { instances, wasRaised: instances > before };
}

function readLimit(): number {
  try {
    return Number(readFileSync(LIMIT, 'utf8'));
  } catch {
    // Not Linux: Dovecot uses kqueue or polls, and there is no such limit.
    return Number.POSITIVE_INFINITY;
  }
}
