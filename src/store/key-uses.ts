import type { Sql } from 'postgres';
import { type Id, uuidOf } from '../core/ids.ts';

export type KeyUseRecorder = {
  note(id: Id<'key'>): void;
  /** Writes what is noted now. */
  flush(): Promise<void>;
  stop(): Promise<void>;
};

/** A key's use is told to the minute. */
const RESOLUTION_MS = 60_000;
const FLUSH_INTERVAL_MS = 1000;

/**
 * Keeps when keys were last used: one statement a second at most, and each key in it once a minute. An UPDATE a request
 * would cost more than most requests do.
 *
 * @param nowMs a monotonic clock.
 */
export function createKeyUseRecorder(
  sql: Sql,
  onError: (error: unknown) => void,
  nowMs: () => number = () => performance.now(),
): KeyUseRecorder {
  const notedAtMs = new Map<Id<'key'>, number>();
  let noted = new Set<Id<'key'>>();
  let timer: NodeJS.Timeout | undefined;
  let writing: Promise<void> = Promise.resolve();

  async function flush(): Promise<void> {
    clearTimeout(timer);
    timer = undefined;
    const batch = [...noted];
    noted = new Set();
    for (const [id, atMs] of notedAtMs) if (nowMs() - atMs >= RESOLUTION_MS) notedAtMs.delete(id);
    if (batch.length > 0) writing = writing.then(() => write(sql, batch).catch(onError));
    return writing;
  }

  return {
    note(id) {
      const last = notedAtMs.get(id);
      if (last !== undefined && nowMs() - last < RESOLUTION_MS) return;
      notedAtMs.set(id, nowMs());
      noted.add(id);
      timer ??= setTimeout(() => void flush(), FLUSH_INTERVAL_MS);
    },
    flush,
    stop: flush,
  };
}

async function write(sql: Sql, ids: readonly Id<'key'>[]): Promise<void> {
  // Another process may have written it within the minute. In order, so that two of them do not wait in a ring.
  await sql`
    UPDATE api_keys SET last_used_at = now()
    WHERE id IN (
      SELECT id FROM api_keys
      WHERE id = ANY (${ids.map(uuidOf)}::uuid[])
        AND (last_used_at IS NULL OR last_used_at <= now() - ${RESOLUTION_MS}::int * interval '1 millisecond')
      ORDER BY id FOR UPDATE
    )`;
}
