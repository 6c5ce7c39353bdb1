import type { Sql } from 'postgres';
import { type Id, uuidOf } from '../core/ids.ts';

/** What a sign of life told. */
export type Activity = {
  /** It brought mail. */
  hasMessage: boolean;
  /** What the program at the other end said of itself, JSON-able. */
  heartbeat?: Record<string, unknown> | undefined;
};

export type ActivityRecorder = {
  note(sourceId: Id<'src'>, activity: Activity): void;
  /** Writes what is noted now. */
  flush(): Promise<void>;
  stop(): Promise<void>;
};

const FLUSH_INTERVAL_MS = 1000;

/** By the monotonic clock: the database's own tells when that was, which alarms go by. */
type Noted = { provenAliveMs: number; messageMs: number | null; heartbeat: Record<string, unknown> | null };

/**
 * Keeps signs of life, at most one statement a second for all sources together: an UPDATE a mail would cost as much
 * as the mail, and queue every flush of a source behind the lock on its row. A crash forgets a second of them,
 * which the next sign repairs.
 */
export function createActivityRecorder(sql: Sql, onError: (error: unknown) => void): ActivityRecorder {
  let noted = new Map<Id<'src'>, Noted>();
  let timer: NodeJS.Timeout | undefined;
  let writing: Promise<void> = Promise.resolve();

  async function flush(): Promise<void> {
    clearTimeout(timer);
    timer = undefined;
    const batch = noted;
    noted = new Map();
    if (batch.size > 0) writing = writing.then(() => write(sql, batch).catch(onError));
    return writing;
  }

  return {
    note(sourceId, { hasMessage, heartbeat }) {
      const nowMs = performance.now();
      const before = noted.get(sourceId);
      noted.set(sourceId, {
        provenAliveMs: nowMs,
        messageMs: hasMessage ? nowMs : (before?.messageMs ?? null),
        heartbeat:
          heartbeat === undefined ? (before?.heartbeat ?? null) : { ...before?.heartbeat, ...heartbeat },
      });
      timer ??= setTimeout(() => void flush(), FLUSH_INTERVAL_MS);
    },
    flush,
    stop: flush,
  };
}

async function write(sql: Sql, batch: ReadonlyMap<Id<'src'>, Noted>): Promise<void> {
  // Sorted: two processes that note the same sources lock them in one order.
  const rows = [...batch].sort(([a], [b]) => (a < b ? -1 : 1));
  const nowMs = performance.now();
  const msSince = (ms: number | null) => (ms === null ? null : Math.ceil(nowMs - ms));
  await sql`
    UPDATE sources SET
      last_proven_alive_at = greatest(sources.last_proven_alive_at, now() - noted.alive_ago * interval '1 millisecond'),
      last_message_at = greatest(sources.last_message_at, now() - noted.message_ago * interval '1 millisecond'),
      -- A ping tells less than a batch: what it leaves out stays as it was told.
      heartbeat = coalesce(coalesce(sources.heartbeat, '{}') || noted.heartbeat::jsonb, sources.heartbeat)
    FROM unnest(
      ${rows.map(([id]) => uuidOf(id))}::uuid[],
      ${rows.map(([, { provenAliveMs }]) => msSince(provenAliveMs))}::bigint[],
      ${rows.map(([, { messageMs }]) => msSince(messageMs))}::bigint[],
      ${rows.map(([, { heartbeat }]) => heartbeat && JSON.stringify(heartbeat))}::text[]
    ) AS noted (id, alive_ago, message_ago, heartbeat)
    WHERE sources.id = noted.id`;
}
