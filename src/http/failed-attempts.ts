import type { Context } from 'hono';
import ipaddr from 'ipaddr.js';

/** Counts bad keys by address. */
export type FailedAttempts = {
  /** Counts one. @returns how long to wait before the next, in ms; 0 while there have been few. */
  note(address: string): number;
};

const WINDOW_MS = 60_000;
/** Addresses are anyone's to have many of: the ones that came first make room. */
const MAX_ADDRESSES = 10_000;

/**
 * A sliding window: so many bad keys of an address within a minute, and it has to wait until the oldest is a minute ago.
 * In the memory of this process, which is a limit for noise and load; no number of tries finds a key of 256 bits.
 *
 * @param nowMs a monotonic clock.
 */
export function createFailedAttempts(
  limit: number,
  nowMs: () => number = () => performance.now(),
): FailedAttempts {
  const failedAtMs = new Map<string, number[]>();
  return {
    note(address) {
      const now = nowMs();
      const recent = (failedAtMs.get(address) ?? []).filter((at) => now - at < WINDOW_MS);
      const [oldest] = recent;
      const isOver = oldest !== undefined && recent.length >= limit;
      if (!isOver) recent.push(now);
      failedAtMs.delete(address);
      failedAtMs.set(address, recent);
      const [first] = failedAtMs.keys();
      if (failedAtMs.size > MAX_ADDRESSES && first !== undefined) failedAtMs.delete(first);
      return isOver ? oldest + WINDOW_MS - now : 0;
    },
  };
}

/**
 * The address that the connection came from; of IPv6 its /64, which one subscriber has whole. Behind a proxy that is the
 * proxy's, so that all who come through it share a count: what X-Forwarded-For says is for anyone to write, and which hop
 * of it to believe only its owner knows. So bad keys alone are counted and refused, and a good one goes on.
 */
export function addressOf(c: Context): string {
  // As @hono/node-server gives it; a test that calls the app without a server has none.
  const address: string | undefined = c.env?.incoming?.socket?.remoteAddress;
  if (address === undefined || !ipaddr.isValid(address)) return 'unknown';
  const parsed = ipaddr.process(address);
  if (parsed instanceof ipaddr.IPv6)
    return `${parsed.parts
      .slice(0, 4)
      .map((part) => part.toString(16))
      .join(':')}/64`;
  return parsed.toString();
}
