import type { Sql } from 'postgres';
import { createId, type Id, idOf, uuidOf } from '../core/ids.ts';
import type { Source } from '../core/resources.ts';
import { findSource, WAITING_FOR_WORKER } from './sources.ts';
import { tellEndpoints } from './tell.ts';

/** A shorter outage is nobody's alarm. */
export const OUTAGE_AFTER_MS = 3 * 60_000;

/** Workers look for what is due each second; some have much to do. */
const LOOKED_AT_WITHIN_MS = 30_000;

/**
 * Tells, once each, of imap sources that have not been proven alive for `outageAfterMs`, and of those that are again:
 * `source.state_changed` when a worker has tried and says why, `source.silent` when none has, and the way back alike. A standby
 * that sleeps, and a source that waits for a person, are left out; one that failed and may sleep now is back.
 *
 * `reachableMs` as for `noteSilence`. Safe to repeat, and in several processes at once.
 *
 * @returns whether an event was appended.
 */
export async function noteOutages(
  sql: Sql,
  { outageAfterMs, reachableMs }: { outageAfterMs: number; reachableMs: number },
): Promise<boolean> {
  // One that is neither held nor looked at in time has no worker, whatever was said of it last.
  const turned = await sql<{ id: string; isOut: boolean; hasFailed: boolean }[]>`
    SELECT id, alarm IS NULL AS "isOut",
           failures > 0 OR coalesce(lease_until > now(), false)
             OR reason <> ${WAITING_FOR_WORKER} AND due_at > now() - ${LOOKED_AT_WITHIN_MS}::int * interval '1 millisecond'
             AS "hasFailed"
    FROM sources
    WHERE kind = 'imap' AND is_wanted AND CASE
      WHEN alarm IS NULL THEN ${reachableMs}::bigint >= ${outageAfterMs}::bigint
        AND state NOT IN ('needs_reauth', 'disabled', 'standby')
        AND greatest(last_proven_alive_at, wanted_at) < now() - ${outageAfterMs}::bigint * interval '1 millisecond'
      ELSE last_proven_alive_at > silent_at AND state NOT IN ('needs_reauth', 'disabled') OR state = 'standby' END
    ORDER BY id`;
  let isTold = false;
  for (const { id, isOut, hasFailed } of turned) {
    isTold = (await turn(sql, idOf('src', id), isOut, hasFailed)) || isTold;
  }
  return isTold;
}

async function turn(sql: Sql, id: Id<'src'>, isOut: boolean, hasFailed: boolean): Promise<boolean> {
  const before = await findSource(sql, id);
  if (before === undefined) return false;
  const since = before.lastProvenAliveAt ?? before.createdAt;
  const nobody = `no worker has read it since ${since}; is \`mailgress worker\` running?`;
  const stuck = `its session has got no further since ${since}`;
  const reason = isOut ? (hasFailed ? (before.reason ?? stuck) : nobody) : null;
  const state = isOut ? 'error' : stateOfBack(before);
  const source: Source = isOut || before.state === 'error' ? { ...before, state, reason } : before;
  const back =
    state === 'standby' ? 'it sleeps: another source reads the mailbox' : 'it is proven alive again';
  const data = { source, previous: isOut ? before.state : 'error', reason: reason ?? back };
  const told = await sql`
    WITH was AS (SELECT id, alarm FROM sources WHERE id = ${uuidOf(id)} FOR NO KEY UPDATE),
    turned AS (
      UPDATE sources SET
        -- Back, its session has said the rest, unless it never noticed.
        state = CASE WHEN ${isOut}::boolean OR sources.state = 'error' THEN ${state} ELSE sources.state END,
        reason = CASE WHEN ${isOut}::boolean OR sources.state = 'error' THEN ${reason}::text ELSE sources.reason END,
        silent_at = CASE WHEN ${isOut}::boolean THEN now() END,
        alarm = CASE WHEN ${isOut}::boolean THEN ${hasFailed ? 'failing' : 'silent'}::text END
      FROM was
      WHERE sources.id = was.id AND is_wanted AND (was.alarm IS NULL) = ${isOut}::boolean
        -- It may have been heard of since it was looked at.
        AND date_trunc('milliseconds', last_proven_alive_at) IS NOT DISTINCT FROM ${before.lastProvenAliveAt}::timestamptz
      RETURNING mailbox_id, coalesce(was.alarm, sources.alarm) AS told
    ), logged AS (
      INSERT INTO events (id, type, tenant, mailbox_id, data)
      SELECT ${uuidOf(createId('evt'))},
             CASE WHEN told <> 'silent' THEN 'source.state_changed'
                  WHEN ${isOut}::boolean THEN 'source.silent' ELSE 'source.recovered' END,
             ${source.tenant}, mailbox_id, ${JSON.stringify(data)}::text::json
      FROM turned
      RETURNING id, type, tenant
    ), queued AS (${tellEndpoints(sql)})
    SELECT id FROM logged`;
  return told.length > 0;
}

/** Of a source that has been told as failing: its session may have gone on all the time. */
function stateOfBack({ state, mode, leaseHolder }: Source): Source['state'] {
  if (state !== 'error') return state;
  if (leaseHolder === null) return 'backoff';
  return mode === 'poll' ? 'polling' : 'idle';
}
