import type { Sql } from 'postgres';
import { createId, type Id, idOf, uuidOf } from '../core/ids.ts';
import type { Source } from '../core/resources.ts';
import { findSource } from './sources.ts';
import { tellEndpoints } from './tell.ts';

/**
 * Tells, once each, of sources whose script has missed its heartbeats (`source.silent`) and of those that are back
 * (`source.recovered`).
 *
 * Silent is a wanted source whose script has reported before, said nothing for `silentAfterMs`, and did not say that it
 * pauses. A source without mail is not silent: its script reports all the same. One whose program never reports (the
 * plain form, `raw`) cannot be.
 *
 * `reachableMs` is how long scripts could reach us by now: who heard nothing because it was away itself may not tell on
 * others. Safe to repeat, and in several processes at once.
 *
 * @returns whether an event was appended.
 */
export async function noteSilence(
  sql: Sql,
  { silentAfterMs, reachableMs }: { silentAfterMs: number; reachableMs: number },
): Promise<boolean> {
  const turned = await sql<{ id: string; isSilent: boolean }[]>`
    SELECT id, silent_at IS NULL AS "isSilent" FROM sources, LATERAL (
      SELECT is_wanted AND heartbeat IS NOT NULL AND heartbeat->>'paused' IS DISTINCT FROM 'true'
         AND ${reachableMs}::bigint >= ${silentAfterMs}::bigint
         AND greatest(last_proven_alive_at, wanted_at) < now() - ${silentAfterMs}::bigint * interval '1 millisecond'
         AS is_silent
    ) now_silent
    WHERE is_silent <> (silent_at IS NOT NULL)
      -- Whose program comes to us; the others have alarms of their own.
      AND kind <> 'imap'
      -- Back is who is heard of, not who can no longer be judged.
      AND (is_silent OR greatest(last_proven_alive_at, wanted_at) > silent_at)
    ORDER BY id`;
  let isTold = false;
  for (const { id, isSilent } of turned) {
    isTold = (await turn(sql, idOf('src', id), isSilent)) || isTold;
  }
  return isTold;
}

async function turn(sql: Sql, id: Id<'src'>, isSilent: boolean): Promise<boolean> {
  const before = await findSource(sql, id);
  if (before === undefined) return false;
  const reason = isSilent
    ? `silent: its script was last heard of at ${before.lastProvenAliveAt}; look at its executions in Apps Script`
    : null;
  const source: Source = { ...before, state: isSilent ? 'error' : 'idle', reason };
  const data = { source, previous: before.state, reason: reason ?? 'its script is heard of again' };
  const told = await sql`
    WITH turned AS (
      UPDATE sources SET state = ${source.state}, reason = ${reason},
        silent_at = CASE WHEN ${isSilent}::boolean THEN now() END
      WHERE id = ${uuidOf(id)} AND is_wanted AND (silent_at IS NULL) = ${isSilent}::boolean
        -- It may have been heard of since it was looked at.
        AND date_trunc('milliseconds', last_proven_alive_at) IS NOT DISTINCT FROM ${before.lastProvenAliveAt}::timestamptz
      RETURNING mailbox_id
    ), logged AS (
      INSERT INTO events (id, type, tenant, mailbox_id, data)
      SELECT ${uuidOf(createId('evt'))}, ${isSilent ? 'source.silent' : 'source.recovered'}, ${source.tenant}, mailbox_id,
             ${JSON.stringify(data)}::text::json
      FROM turned
      RETURNING id, type, tenant
    ), queued AS (
      ${tellEndpoints(sql)}
    )
    SELECT id FROM logged`;
  return told.length > 0;
}
