import type { Sql } from 'postgres';
import { type Id, uuidOf } from '../core/ids.ts';
import type { Source } from '../core/resources.ts';
import type { Lease } from './source-leases.ts';

/** Where a session is. */
export type SessionState = {
  state: Source['state'];
  mode: 'idle' | 'poll' | null;
  /** What is wrong although it goes on. */
  reason?: string | null;
};

export type StateRecorder = {
  note(lease: Lease, state: SessionState): void;
  /** Writes what is noted now. */
  flush(): Promise<void>;
  /** For a source whose session has ended: its end says the rest. */
  forget(sourceId: Id<'src'>): void;
};

const FLUSH_INTERVAL_MS = 250;

/**
 * Keeps the steps of sessions for whoever looks: the last of each source, a few statements a second for all together. A
 * crash forgets some, and the next step says it again.
 */
export function createStateRecorder(sql: Sql, onError: (error: unknown) => void): StateRecorder {
  let noted = new Map<Id<'src'>, { lease: Lease; state: SessionState }>();
  let timer: NodeJS.Timeout | undefined;
  let writing: Promise<void> = Promise.resolve();

  async function flush(): Promise<void> {
    clearTimeout(timer);
    timer = undefined;
    const batch = noted;
    noted = new Map();
    if (batch.size > 0) writing = writing.then(() => write(sql, [...batch.values()]).catch(onError));
    return writing;
  }

  return {
    note(lease, state) {
      noted.set(lease.sourceId, { lease, state });
      timer ??= setTimeout(() => void flush(), FLUSH_INTERVAL_MS);
    },
    flush,
    forget: (sourceId) => void noted.delete(sourceId),
  };
}

async function write(sql: Sql, batch: readonly { lease: Lease; state: SessionState }[]): Promise<void> {
  const rows = [...batch].sort((a, b) => (a.lease.sourceId < b.lease.sourceId ? -1 : 1));
  await sql`
    UPDATE sources SET
      -- What has been told as failing stays so until it reads again.
      state = CASE WHEN alarm IS NOT NULL AND (noted.mode IS NULL OR noted.reason IS NOT NULL) THEN sources.state ELSE noted.state END,
      mode = coalesce(noted.mode, sources.mode),
      reason = CASE WHEN noted.mode IS NULL THEN sources.reason ELSE noted.reason END
    FROM unnest(
      ${rows.map(({ lease }) => uuidOf(lease.sourceId))}::uuid[],
      ${rows.map(({ lease }) => lease.owner)}::uuid[],
      ${rows.map(({ lease }) => lease.fence)}::bigint[],
      ${rows.map(({ state }) => state.state)}::text[],
      ${rows.map(({ state }) => state.mode)}::text[],
      ${rows.map(({ state }) => state.reason ?? null)}::text[]
    ) AS noted (id, owner, fence, state, mode, reason)
    WHERE sources.id = noted.id AND sources.lease_owner = noted.owner AND sources.fence = noted.fence AND is_wanted
    RETURNING set_config('synchronous_commit', 'off', true)`;
}
