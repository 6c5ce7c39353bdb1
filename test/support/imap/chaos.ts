import type { Random } from '../random.ts';
import type { Fault } from './fault.ts';
import type { FaultLink } from './fault-link.ts';

export type Chaos = {
  /** What was done to which connection, in order. */
  done: { connection: number; fault: Fault }[];
  /** No further faults; connections that still suffer one are cut, so that every client hears of it. */
  stop(): void;
};

const KINDS: readonly Fault[] = [
  { kind: 'cut', how: 'end' },
  { kind: 'cut', how: 'reset' },
  { kind: 'cut', how: 'reset', afterServerBytes: 17 },
  { kind: 'black-hole' },
  { kind: 'half-open' },
  { kind: 'slow', bytesPerSecond: 2000, delayMs: 50 },
  { kind: 'bye' },
  { kind: 'bye', text: '[UNAVAILABLE] Try later' },
  { kind: 'inject', bytes: '* 17 garbage (\r\n', at: 'response-end' },
  { kind: 'inject', bytes: '\r\n\0\xff* ', at: 'anywhere' },
];

/** Faults at random times, one every 1 / `perSecond` on average, each to a connection that fares well until then. */
export function startChaos(options: {
  links: ReadonlySet<FaultLink>;
  random: Random;
  perSecond: number;
  kinds?: readonly Fault[];
}): Chaos {
  const { links, random, perSecond, kinds = KINDS } = options;
  const done: Chaos['done'] = [];
  let timer: NodeJS.Timeout;

  function strike(): void {
    const well = [...links].filter((link) => link.fault().kind === 'pass');
    if (well.length > 0) {
      const link = random.pick(well);
      const fault = random.pick(kinds);
      done.push({ connection: link.number, fault });
      link.set(fault);
    }
    next();
  }

  function next(): void {
    // Exponential: never 0, and far above the average at times.
    const share = (random.below(1_000_000) + 1) / 1_000_001;
    timer = setTimeout(strike, (-Math.log(share) * 1000) / perSecond);
  }

  next();
  return {
    done,
    stop() {
      clearTimeout(timer);
      for (const link of links) if (link.fault().kind !== 'pass') link.cut('reset');
    },
  };
}
