import { MailgressError } from '../core/errors.ts';
import { compareFeedPositions, type FeedEvent, type FeedPage, type FeedPosition } from '../store/feed.ts';
import { ALL_TENANTS, type Scope } from '../store/scope.ts';
import { createRecentEvents } from './recent-events.ts';

/*
 * One reader of the feed for a process, however many clients follow it.
 *
 * The hub has an edge: all events up to it have been read and handed to every client that is live. It reads on from
 * there when it is woken, when another process rings, and each second.
 *
 * A client begins somewhere behind. It catches up: it reads pages by itself, from its own place, as fast as it takes
 * them; only so many do so at once. It goes live in one step, in which nothing else can happen, when the hub still
 * holds every event from the client's place up to the edge: it is given those behind its place, and from then on what
 * the hub reads. A client whose own page went further than the edge passes over what it already has. So what decides is
 * a comparison of places, and neither a late page nor a late commit can leave a gap or bring an event again.
 *
 * While nobody is live there is no edge and nothing is read. The first client that comes to the end of the feed makes
 * its place the edge.
 */

export type FeedRequest = {
  after: FeedPosition;
  /** Empty: all. */
  types: readonly string[];
  scope: Scope;
};

/** Where a client's bytes go. */
export type FeedSink = {
  /** False, and nothing is taken: it already holds as much as it may. */
  write(bytes: Uint8Array): boolean;
  /** Resolves once it would take something, or is over. */
  hasRoom(): Promise<void>;
  /** Ends it once what it holds has been read. */
  end(): void;
  /** Ends it at once. */
  drop(): void;
};

export type FeedHub = {
  /** There may be something new. */
  wake(): void;
  /**
   * Writes to `sink` all events behind a place, those there are and those that come, until it is closed.
   *
   * @throws MailgressError `overloaded` when the hub has stopped.
   */
  subscribe(request: FeedRequest, sink: FeedSink): { close(): void };
  clientCount(): number;
  /** Ends every client in order, and takes no more. */
  stop(): void;
};

export type FeedHubOptions = {
  read: (request: FeedRequest & { limit: number }) => Promise<FeedPage>;
  print: {
    event(event: FeedEvent): Uint8Array;
    /** That a client has everything up to this place; undefined: only that we are there. */
    mark(position: FeedPosition | undefined): Uint8Array;
  };
  /** Called once, before the first client. */
  onFirstClient?: () => void;
  onReadError?: (error: unknown) => void;
  heartbeatMs?: number;
  pollMs?: number;
  /** Kept for those that come a little late. */
  recentBytes?: number;
  pageSize?: number;
};

type Client = {
  request: FeedRequest;
  sink: FeedSink;
  /** Everything up to it has been written; of one that is live, no longer moved once the edge has passed it. */
  position: FeedPosition;
  isOver: boolean;
};

const HEARTBEAT_MS = 15_000;
const POLL_MS = 1000;
/** Between two reads, so that events of many commits share one. */
const GATHER_MS = 10;
/** What waits for an older transaction is looked for soon, and then less and less often. */
const HELD_BACK_MS = { first: 5, longest: 500 };
/** An event can have more than half a MiB. */
const PAGE_SIZE = 32;
const RECENT_BYTES = 4 * 1024 * 1024;
/** Clients that read pages of their own at the same time: the pool has others to serve. */
const CATCHING_UP_AT_ONCE = 3;
const RETRY_MS = 500;

export function createFeedHub(options: FeedHubOptions): FeedHub {
  const { read, print, heartbeatMs = HEARTBEAT_MS, pollMs = POLL_MS, pageSize = PAGE_SIZE } = options;
  const clients = new Set<Client>();
  const live = new Set<Client>();
  const recent = createRecentEvents(options.recentBytes ?? RECENT_BYTES);
  const gate = createGate(CATCHING_UP_AT_ONCE);
  let edge: FeedPosition | undefined;
  let isWanted = false;
  let isReading = false;
  let isStopped = false;
  let isFirst = true;
  let heldBackMs = HELD_BACK_MS.first;
  let heldBackTimer: NodeJS.Timeout | undefined;
  let timers: NodeJS.Timeout[] = [];

  function wake(): void {
    isWanted = true;
    if (isReading || edge === undefined) return;
    isReading = true;
    void readOn();
  }

  /** Never rejects. */
  async function readOn(): Promise<void> {
    while (isWanted && edge !== undefined) {
      isWanted = false;
      const from = edge;
      try {
        const page = await read({ after: from, types: [], scope: ALL_TENANTS, limit: pageSize });
        // Everybody left meanwhile, and perhaps someone came and made another edge.
        if (edge !== from) isWanted = true;
        else take(page);
      } catch (error) {
        // The poll tries again.
        options.onReadError?.(error);
      }
      // Also when nothing is wanted now: what is in the next moment gathers.
      await pause(GATHER_MS);
    }
    // In the same step as the look that ended the loop: a wake-up between the two would be lost.
    isReading = false;
  }

  function take(page: FeedPage): void {
    const events = page.events.map((event) => ({ event, bytes: print.event(event) }));
    edge = page.next;
    recent.add(events);
    const shared = new Map<string, Uint8Array | undefined>();
    for (const client of live) {
      const isAhead = compareFeedPositions(client.position, events[0]?.event.position ?? edge) >= 0;
      const key = isAhead ? undefined : JSON.stringify([client.request.types, client.request.scope.tenant]);
      let bytes = key === undefined ? undefined : shared.get(key);
      if (key === undefined || !shared.has(key)) {
        bytes = recent.join(events, client);
        if (key !== undefined) shared.set(key, bytes);
      }
      if (bytes !== undefined && !client.sink.write(bytes)) drop(client);
    }
    if (events.length === pageSize) isWanted = true;
    clearTimeout(heldBackTimer);
    if (!page.isHeldBack || isWanted) heldBackMs = HELD_BACK_MS.first;
    else {
      heldBackTimer = setTimeout(wake, heldBackMs);
      heldBackMs = Math.min(heldBackMs * 2, HELD_BACK_MS.longest);
    }
  }

  /** Never rejects. */
  async function catchUp(client: Client): Promise<void> {
    for (;;) {
      await client.sink.hasRoom();
      if (client.isOver || goLive(client)) return;
      const { request, position } = client;
      try {
        const page = await gate(() => read({ ...request, after: position, limit: pageSize }));
        if (client.isOver) return;
        for (const event of page.events) {
          // A page may be more than it may hold at a time: the bound is for what it is behind, and here it sets the pace.
          while (!client.isOver && !client.sink.write(print.event(event))) await client.sink.hasRoom();
          if (client.isOver) return;
          client.position = event.position;
        }
        client.position = page.next;
        if (edge === undefined && page.events.length < pageSize) {
          edge = page.next;
          recent.clear(page.next);
        }
      } catch (error) {
        options.onReadError?.(error);
        await pause(RETRY_MS);
      }
    }
  }

  function goLive(client: Client): boolean {
    if (edge === undefined || !recent.reachesBackTo(client.position)) return false;
    const bytes = recent.join(recent.all(), client);
    if (bytes !== undefined && !client.sink.write(bytes)) return false;
    live.add(client);
    client.sink.write(print.mark(placeOf(client)));
    wake();
    return true;
  }

  const placeOf = ({ position }: Client) =>
    edge === undefined || compareFeedPositions(position, edge) > 0 ? position : edge;

  function drop(client: Client): void {
    close(client);
    client.sink.drop();
  }

  function close(client: Client): void {
    client.isOver = true;
    clients.delete(client);
    live.delete(client);
    if (live.size === 0) {
      edge = undefined;
      clearTimeout(heldBackTimer);
    }
    if (clients.size === 0) for (const timer of timers.splice(0)) clearInterval(timer);
  }

  function beat(): void {
    for (const client of clients) {
      const isLive = live.has(client);
      const isTaken = client.sink.write(print.mark(isLive ? placeOf(client) : undefined));
      if (isLive && !isTaken) drop(client);
    }
  }

  return {
    wake,
    subscribe(request, sink) {
      if (isStopped) {
        throw new MailgressError('overloaded', 'The service is stopping; connect again', { retryable: true });
      }
      if (isFirst) options.onFirstClient?.();
      isFirst = false;
      if (clients.size === 0) timers = [setInterval(beat, heartbeatMs), setInterval(wake, pollMs)];
      const client: Client = { request, sink, position: request.after, isOver: false };
      clients.add(client);
      void catchUp(client);
      return { close: () => close(client) };
    },
    clientCount: () => clients.size,
    stop() {
      isStopped = true;
      for (const client of clients) {
        close(client);
        client.sink.end();
      }
    },
  };
}

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** Lets so many of the calls given to it run at once, the others in the order they came. */
function createGate(limit: number): <T>(call: () => Promise<T>) => Promise<T> {
  const waiting: (() => void)[] = [];
  let running = 0;
  return async (call) => {
    if (running >= limit) await new Promise<void>((resolve) => waiting.push(resolve));
    else running++;
    try {
      return await call();
    } finally {
      // The place goes to the next one without becoming free.
      const next = waiting.shift();
      if (next === undefined) running--;
      else next();
    }
  };
}
