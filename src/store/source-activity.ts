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

type Noted = { provenAliveAt: Date; messageAt: Date | null; heartbeat: Record<string, unknown> | null };

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
      const now = new Date();
      const before = noted.get(sourceId);
      noted.set(sourceId, {
        provenAliveAt: now,
        messageAt: hasMessage ? now : (before?.messageAt ?? null),
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
  await sql`
    UPDATE sources SET
      last_proven_alive_at = greatest(sources.last_proven_alive_at, noted.proven_alive_at),
      last_message_at = greatest(sources.last_message_at, noted.message_at),
      -- A ping tells less than a batch: what it leaves out stays as it was told.
      heartbeat = coalesce(coalesce(sources.heartbeat, '{}') || noted.heartbeat::jsonb, sources.heartbeat)
    FROM unnest(
      ${rows.map(([id]) => uuidOf(id))}::uuid[],
      ${rows.map(([, { provenAliveAt }]) => provenAliveAt.toISOString())}::timestamptz[],
      ${rows.map(([, { messageAt }]) => messageAt?.toISOString() ?? null)}::timestamptz[],
      ${rows.map(([, { heartbeat }]) => heartbeat && JSON.stringify(heartbeat))}::text[]
    ) AS noted (id, proven_alive_at, message_at, heartbeat)
    WHERE sources.id = noted.id`;
}
