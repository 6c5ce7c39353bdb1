import { compareFeedPositions, type FeedEvent, type FeedPosition } from '../store/feed.ts';
import type { Scope } from '../store/scope.ts';

/** An event as it is sent. */
export type SentEvent = { event: FeedEvent; bytes: Uint8Array };

/** What of the feed concerns a client. */
type Interest = {
  position: FeedPosition;
  request: { types: readonly string[]; scope: Scope };
};

/** The newest events that were read, without a gap between them: as many as fit. */
export type RecentEvents = {
  /** From here on they are kept; nothing is, yet. */
  clear(from: FeedPosition): void;
  /** What was read next. */
  add(events: readonly SentEvent[]): void;
  /** Whether every event behind `position` that has been read is kept. */
  reachesBackTo(position: FeedPosition): boolean;
  all(): readonly SentEvent[];
  /** Those that concern a client, in one piece; undefined if none does. */
  join(events: readonly SentEvent[], interest: Interest): Uint8Array | undefined;
};

export function createRecentEvents(maxBytes: number): RecentEvents {
  let events: SentEvent[] = [];
  let sizeBytes = 0;
  let from: FeedPosition | undefined;

  return {
    clear(start) {
      events = [];
      sizeBytes = 0;
      from = start;
    },
    add(added) {
      events.push(...added);
      for (const { bytes } of added) sizeBytes += bytes.length;
      let over = 0;
      for (const { event, bytes } of events) {
        if (sizeBytes <= maxBytes) break;
        over++;
        sizeBytes -= bytes.length;
        from = event.position;
      }
      if (over > 0) events = events.slice(over);
    },
    reachesBackTo: (position) => from !== undefined && compareFeedPositions(position, from) >= 0,
    all: () => events,
    join(given, { position, request: { types, scope } }) {
      const wanted = given.filter(
        ({ event }) =>
          (types.length === 0 || types.includes(event.type)) &&
          (scope.tenant === null || scope.tenant === event.tenant) &&
          compareFeedPositions(event.position, position) > 0,
      );
      const [only] = wanted;
      if (only === undefined) return undefined;
      return wanted.length === 1 ? only.bytes : Buffer.concat(wanted.map(({ bytes }) => bytes));
    },
  };
}
