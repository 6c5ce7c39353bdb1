import { createHash } from 'node:crypto';
import type { Sql } from 'postgres';
import { type Id, idOf, uuidOf } from '../core/ids.ts';

/** A mail that asks to be the one of its subject group. */
export type GroupEntry = {
  endpointId: Id<'ep'>;
  /** As a uuid: a replay goes by itself. */
  replayId: string;
  tenant: string;
  subjectGroup: string;
  eventId: Id<'evt'>;
  /** When the event was: windows are of the mails' times, however late they are sent. */
  at: Date;
  windowMs: number;
};

type Head = { eventId: Id<'evt'>; at: Date };

/**
 * Asks for each entry, the oldest first, whether it may go: the first of its group opens a window, in which no other
 * goes. It stays the one, so that it may ask again (for its next try).
 *
 * @returns for each entry whether it goes.
 */
export async function enterSubjectGroups(sql: Sql, entries: readonly GroupEntry[]): Promise<boolean[]> {
  const goes = new Map<GroupEntry, boolean>();
  // One of each group at a time: a statement can move a row only once.
  for (let left = entries.toSorted((a, b) => a.at.getTime() - b.at.getTime()); left.length > 0; ) {
    const first = new Map(left.toReversed().map((entry) => [keyOf(entry), entry]));
    const heads = await openWindows(sql, [...first.values()]);
    left = left.filter((entry) => {
      const head = heads.get(keyOf(entry));
      const isFirst = first.get(keyOf(entry)) === entry;
      const isIn = head !== undefined && isInWindow(entry, head);
      if (isIn) goes.set(entry, head.eventId === entry.eventId);
      // Older than the window that is open: nothing went near it that is known of.
      else if (isFirst) goes.set(entry, true);
      return !isIn && !isFirst;
    });
  }
  return entries.map((entry) => goes.get(entry) ?? true);
}

function isInWindow({ at, windowMs }: GroupEntry, head: Head): boolean {
  return Math.abs(at.getTime() - head.at.getTime()) < windowMs;
}

/** @returns by key who now stands for the group: the one who asks if its time is behind the window, else who did. */
async function openWindows(sql: Sql, entries: readonly GroupEntry[]): Promise<Map<string, Head>> {
  const sorted = entries.toSorted((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
  const column = <T>(read: (entry: GroupEntry) => T) => sorted.map(read);
  const rows = await sql<{ endpointId: string; replayId: string; key: string; eventId: string; at: Date }[]>`
    INSERT INTO subject_groups AS held (endpoint_id, replay_id, key, event_id, opened_at, expires_at)
    SELECT endpoint_id, replay_id, key, event_id, opened_at, now() + window_ms * interval '1 millisecond'
    FROM unnest(
      ${column(({ endpointId }) => uuidOf(endpointId))}::uuid[],
      ${column(({ replayId }) => replayId)}::uuid[],
      ${column(hashOf)}::uuid[],
      ${column(({ eventId }) => uuidOf(eventId))}::uuid[],
      ${column(({ at }) => at.toISOString())}::timestamptz[],
      ${column(({ windowMs }) => windowMs)}::bigint[]
    ) AS entry (endpoint_id, replay_id, key, event_id, opened_at, window_ms)
    ON CONFLICT (endpoint_id, replay_id, key) DO UPDATE SET
      (event_id, opened_at, expires_at) = (
        SELECT wins.event_id, wins.opened_at, wins.expires_at FROM (VALUES
          (excluded.event_id, excluded.opened_at, excluded.expires_at, true),
          (held.event_id, held.opened_at, held.expires_at, false)
        ) AS wins (event_id, opened_at, expires_at, is_new)
        WHERE is_new = (excluded.opened_at >= held.opened_at + (excluded.expires_at - now()))
      )
    RETURNING endpoint_id AS "endpointId", replay_id AS "replayId", key, event_id AS "eventId", opened_at AS at`;
  return new Map(
    rows.map((row) => [
      [row.endpointId, row.replayId, row.key].join(' ').replaceAll('-', ''),
      { eventId: idOf('evt', row.eventId), at: row.at },
    ]),
  );
}

/** Forgets windows that are over. */
export async function pruneSubjectGroups(sql: Sql): Promise<void> {
  await sql`DELETE FROM subject_groups WHERE expires_at < now()`;
}

function keyOf(entry: GroupEntry): string {
  return [uuidOf(entry.endpointId), entry.replayId, hashOf(entry)].join(' ').replaceAll('-', '');
}

function hashOf({ tenant, subjectGroup }: GroupEntry): string {
  return createHash('sha256')
    .update(JSON.stringify([tenant, subjectGroup]))
    .digest('hex')
    .slice(0, 32);
}
