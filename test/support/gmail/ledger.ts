import { type Call, type CallName, UNITS } from './calls.ts';

/** A call that came in. */
export type Entry = Call & {
  readonly units: number;
  /** In ms since 1970. */
  readonly atMs: number;
  /** Until the answer was handed over; undefined while it is not. */
  tookMs: number | undefined;
  /** 0 where the connection was cut. */
  status: number | undefined;
  /** The name of the fault it met. */
  fault: string | undefined;
};

/** All calls that came in, those that met a fault too. */
export type Ledger = {
  readonly entries: readonly Entry[];
  /** How many calls there were of this name, account, message; of what is not given, any. */
  count(which?: Which): number;
  /** How often each message was asked for, by `account id`. */
  gets(): ReadonlyMap<string, number>;
  /** The most units of any minute; without an account, of all accounts together. */
  mostUnitsAMinute(account?: string): number;
  clear(): void;
};

export type Which = { name?: CallName; account?: string; messageId?: string };

export const MINUTE_MS = 60_000;

/** Google's limits in units a minute (since 2026-05-01). */
export const GOOGLE_LIMITS: Limits = { perAccount: 6_000, perProject: 1_200_000 };

export type Limits = { perAccount: number; perProject: number };

export type WritableLedger = Ledger & {
  open(call: Omit<Call, 'nth'>): Entry;
  /** Units of the last minute. */
  spent(account: string | undefined): number;
};

export function createLedger(): WritableLedger {
  const entries: Entry[] = [];
  const numbers = new Map<string, number>();

  return {
    entries,
    open(call) {
      const key = JSON.stringify([call.name, call.account, call.messageId]);
      const nth = (numbers.get(key) ?? 0) + 1;
      numbers.set(key, nth);
      const entry: Entry = {
        ...call,
        nth,
        units: UNITS[call.name],
        atMs: Date.now(),
        tookMs: undefined,
        status: undefined,
        fault: undefined,
      };
      entries.push(entry);
      return entry;
    },
    count: (which = {}) => entries.filter((entry) => isOneOf(entry, which)).length,
    gets() {
      const gets = new Map<string, number>();
      for (const { name, account, messageId } of entries) {
        const key = `${account} ${messageId}`;
        if (name === 'messages.get') gets.set(key, (gets.get(key) ?? 0) + 1);
      }
      return gets;
    },
    mostUnitsAMinute(account) {
      const ofAccount = entries.filter((entry) => account === undefined || entry.account === account);
      let [first, units, most] = [0, 0, 0];
      for (const entry of ofAccount) {
        units += entry.units;
        while (entry.atMs - (ofAccount[first]?.atMs ?? 0) >= MINUTE_MS)
          units -= ofAccount[first++]?.units ?? 0;
        most = Math.max(most, units);
      }
      return most;
    },
    spent(account) {
      const sinceMs = Date.now() - MINUTE_MS;
      let units = 0;
      // They are in order of time.
      for (let index = entries.length - 1; index >= 0; index--) {
        const entry = entries[index];
        if (entry === undefined || entry.atMs <= sinceMs) break;
        if (account === undefined || entry.account === account) units += entry.units;
      }
      return units;
    },
    clear() {
      entries.length = 0;
      numbers.clear();
    },
  };
}

/** Whether a call is what is asked for; what is not given is not asked. */
export function isOneOf(call: Call, which: Which): boolean {
  return (
    (which.name === undefined || call.name === which.name) &&
    (which.account === undefined || call.account === which.account) &&
    (which.messageId === undefined || call.messageId === which.messageId)
  );
}
