import type { ClaimedImapSource } from '../../src/store/imap-leases.ts';

/* What several workers do at one source, in any order. */

export const PATH = 'INBOX';
export const PAGE = 3;
/** Before all of it. */
export const SINCE = new Date(0);

export const KINDS = [
  'arrive',
  'claim',
  'take over',
  'page',
  'page',
  'page',
  'page of before',
  'flip',
  'jump',
  'wake',
  'add folder',
  'fetch',
  'gap page',
  'renew',
  'note',
  'end',
  'steal',
  'expire',
  'forget',
] as const;
export const HOLDERS = 3;

export type Place = { uidValidity: number; uid: number };

/** A worker, and where it believes the cursor is: it may be long past. */
export type Holder = {
  claimed: ClaimedImapSource | undefined;
  cursor: Place | undefined;
  /** Where it was at the claim. */
  first: Place | undefined;
};

export const END = {
  state: 'disconnected',
  reason: null,
  fault: null,
  failures: 0,
  dueInMs: 0,
  slowForMs: null,
} as const;
