import type { Fragment, Sql } from 'postgres';
import { createId, firstUuidAt, type Id, idOf, uuidOf } from '../core/ids.ts';
import type { Replay } from '../core/resources.ts';
import { inPageOrder, isInPage, type Page, type PageRequest, toPage } from './page.ts';

/*
 * A replay queues old events as deliveries of its own, in the order of their ids and a window at a time, so that it holds up
 * nothing else at its endpoint. Each step is one statement, which takes the replay's row or leaves it to whoever has it:
 * any process goes on where another stopped.
 *
 * Events are found by the time in their ids, which comes from the process that took the mail, and chosen by the time at
 * which PostgreSQL logged them, which is the one that is shown.
 */

/** The replay of a delivery that is none, as in the schema. */
export const NO_REPLAY = '00000000-0000-0000-0000-000000000000';

/** Deliveries of one replay that wait at a time. */
const MOST_WAITING = 500;

/** How far the two clocks may be apart, with the time for which a mail may wait for the database. */
const CLOCKS_APART_MS = 3_600_000;

export type ReplayRequest = { since: Date; until: Date; mailboxId: Id<'mbx'> | null; ignoresRules: boolean };

/** @returns undefined if there is no such endpoint. */
export async function createReplay(
  sql: Sql,
  endpointId: Id<'ep'>,
  { since, until, mailboxId, ignoresRules }: ReplayRequest,
): Promise<Replay | undefined> {
  const id = createId('rpl');
  const last = new Date(until.getTime() + CLOCKS_APART_MS);
  const rows = await sql`
    INSERT INTO replays (id, endpoint_id, since, until, mailbox_id, ignores_rules, total)
    SELECT ${uuidOf(id)}, endpoints.id, ${since}, ${until}, ${mailboxId === null ? null : uuidOf(mailboxId)},
           ${ignoresRules}, (
             SELECT count(*) FROM events LEFT JOIN messages ON messages.id = events.id
             WHERE events.id >= ${firstIdOf(since)}::uuid AND events.id < ${firstUuidAt(last)}::uuid
               AND events.created_at >= ${since} AND events.created_at < ${until}
               AND events.type = ANY (endpoints.types)
               AND (endpoints.tenant IS NULL OR endpoints.tenant = events.tenant)
               AND (${mailboxId === null} OR events.mailbox_id = ${mailboxId === null ? null : uuidOf(mailboxId)})
               AND ${isThere(sql)}
           )
    FROM endpoints WHERE endpoints.id = ${uuidOf(endpointId)}
    RETURNING id`;
  return rows.length === 0 ? undefined : findReplay(sql, id);
}

export async function listReplays(
  sql: Sql,
  request: PageRequest & { endpointId?: Id<'ep'> | undefined },
): Promise<Page<Replay>> {
  const { endpointId } = request;
  const rows = await sql<ReplayRow[]>`
    ${selectReplays(sql)}
    WHERE ${isInPage(sql, { id: 'id', tenant: 'tenant' }, request)}
      ${endpointId === undefined ? sql`` : sql`AND endpoint_id = ${uuidOf(endpointId)}`}
    ${inPageOrder(sql, 'id', request)}`;
  return toPage(rows.map(toReplay), request);
}

export async function findReplay(sql: Sql, id: Id<'rpl'>): Promise<Replay | undefined> {
  const [row] = await sql<ReplayRow[]>`${selectReplays(sql)} WHERE id = ${uuidOf(id)}`;
  return row && toReplay(row);
}

function selectReplays(sql: Sql): Fragment {
  return sql`
    SELECT id, endpoint_id AS "endpointId", since, until, mailbox_id AS "mailboxId", ignores_rules AS "ignoreRules",
           replays.status, total, queued, made.*, created_at AS "createdAt", completed_at AS "completedAt"
    FROM (
      SELECT replays.*, endpoints.tenant FROM replays JOIN endpoints ON endpoints.id = endpoint_id
    ) replays CROSS JOIN LATERAL (
      SELECT count(*) FILTER (WHERE status = 'succeeded')::int AS sent,
             count(*) FILTER (WHERE status = 'skipped')::int AS skipped,
             count(*) FILTER (WHERE status = 'failed')::int AS failed
      FROM deliveries WHERE replay_id = replays.id AND replay_id <> '00000000-0000-0000-0000-000000000000'
    ) made`;
}

function toReplay(row: ReplayRow): Replay {
  return {
    ...row,
    id: idOf('rpl', row.id),
    endpointId: idOf('ep', row.endpointId),
    mailboxId: row.mailboxId === null ? null : idOf('mbx', row.mailboxId),
    since: row.since.toISOString(),
    until: row.until.toISOString(),
    createdAt: row.createdAt.toISOString(),
    completedAt: row.completedAt?.toISOString() ?? null,
  };
}

type ReplayRow = Omit<Replay, 'since' | 'until' | 'createdAt' | 'completedAt'> & {
  since: Date;
  until: Date;
  createdAt: Date;
  completedAt: Date | null;
};

/** Ends a replay that runs. What waits of it is left out; an attempt under way is the last of its delivery. */
export async function cancelReplay(sql: Sql, id: Id<'rpl'>): Promise<void> {
  await sql`
    WITH cancelled AS (
      UPDATE replays SET status = 'cancelled', completed_at = now()
      WHERE id = ${uuidOf(id)} AND status = 'running'
      RETURNING id
    )
    UPDATE deliveries SET status = 'skipped', rule = 'cancelled', completed_at = now()
    FROM cancelled
    WHERE replay_id = cancelled.id AND replay_id <> '00000000-0000-0000-0000-000000000000'
      AND deliveries.status = 'pending' AND lease_owner IS NULL`;
}

/** What a step did: nothing was due; some were queued; or there was nothing (left) to queue just now. */
export type ReplayStep = 'none' | 'queued' | 'waiting';

/**
 * Takes the replay that has waited longest and queues what there is room for; ends it when all is queued and nothing waits.
 * The others follow by calling again.
 */
export async function advanceReplay(sql: Sql, options: { pauseMs: number }): Promise<ReplayStep> {
  const [row] = await sql<{ count: number }[]>`
    WITH replay AS MATERIALIZED (
      SELECT *, ${firstUuidOf(sql, sql`until + interval '1 hour'`)} AS last
      FROM replays WHERE status = 'running' AND due_at <= now()
      ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED
    ), waiting AS MATERIALIZED (
      SELECT count(*)::int AS count FROM deliveries
      WHERE replay_id = (SELECT id FROM replay) AND replay_id <> '00000000-0000-0000-0000-000000000000'
        AND status = 'pending'
    ), candidates AS MATERIALIZED (
      SELECT found.*, endpoints.id AS endpoint_id, replay.id AS replay_id,
             endpoints."order" = 'mailbox' AND found.type = 'message.received' AS is_in_lane
      FROM replay CROSS JOIN waiting JOIN endpoints ON endpoints.id = replay.endpoint_id
      CROSS JOIN LATERAL (
        SELECT events.id, events.mailbox_id, events.type
        FROM events LEFT JOIN messages ON messages.id = events.id
        WHERE events.id > coalesce(replay.position, ${firstUuidOf(sql, sql`replay.since - interval '1 hour'`)})
          AND events.id < replay.last
          AND events.created_at >= replay.since AND events.created_at < replay.until
          AND events.type = ANY (endpoints.types)
          AND (endpoints.tenant IS NULL OR endpoints.tenant = events.tenant)
          AND (replay.mailbox_id IS NULL OR events.mailbox_id = replay.mailbox_id)
          AND ${isThere(sql)}
        ORDER BY events.id
        LIMIT greatest(0, ${MOST_WAITING} - waiting.count)
      ) found
    ), box AS MATERIALIZED (
      -- As when mail is stored: a mailbox that is locked so is deleted after this, with what is queued here.
      SELECT id FROM mailboxes WHERE id IN (SELECT mailbox_id FROM candidates) FOR KEY SHARE SKIP LOCKED
    ), blocked AS MATERIALIZED (
      -- The first event whose mailbox is there, but is being deleted: a later step sees what became of both. Nobody waits.
      SELECT (array_agg(candidates.id ORDER BY candidates.id))[1] AS id
      FROM candidates JOIN mailboxes ON mailboxes.id = candidates.mailbox_id
      WHERE mailboxes.id NOT IN (SELECT id FROM box)
    ), chosen AS MATERIALIZED (
      SELECT candidates.* FROM candidates CROSS JOIN blocked WHERE blocked.id IS NULL OR candidates.id < blocked.id
    ), queued AS (
      INSERT INTO deliveries (id, endpoint_id, event_id, replay_id, lane)
      SELECT mailgress_uuidv7(), endpoint_id, id, replay_id, CASE WHEN is_in_lane THEN mailbox_id END
      FROM chosen ORDER BY id
      ON CONFLICT DO NOTHING
    ), totals AS (
      SELECT count(*)::int AS count, (array_agg(id ORDER BY id DESC))[1] AS last,
             (SELECT id IS NOT NULL FROM blocked) AS is_blocked
      FROM chosen
    )
    UPDATE replays SET
      -- Behind the last one there is nothing to look for again.
      position = CASE WHEN totals.count + waiting.count < ${MOST_WAITING} AND NOT is_blocked THEN replay.last
                      ELSE coalesce(totals.last, replays.position) END,
      queued = replays.queued + totals.count,
      due_at = now() + ${options.pauseMs}::int * interval '1 millisecond',
      status = CASE WHEN totals.count = 0 AND waiting.count = 0 AND NOT is_blocked THEN 'completed' ELSE 'running' END,
      completed_at = CASE WHEN totals.count = 0 AND waiting.count = 0 AND NOT is_blocked THEN now() END
    FROM replay, waiting, totals
    WHERE replays.id = replay.id
    RETURNING totals.count`;
  if (row === undefined) return 'none';
  return row.count > 0 ? 'queued' : 'waiting';
}

/** The event of a message that was deleted has data for the log alone: of it there is nothing to send. */
function isThere(sql: Sql): Fragment {
  return sql`CASE WHEN events.type = 'message.received' THEN messages.id IS NOT NULL ELSE events.data IS NOT NULL END`;
}

/** `firstUuidAt`, of a time in a statement. */
function firstUuidOf(sql: Sql, time: Fragment): Fragment {
  return sql`(lpad(to_hex(greatest(0, extract(epoch FROM ${time}) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid`;
}

function firstIdOf(since: Date): string {
  return firstUuidAt(new Date(since.getTime() - CLOCKS_APART_MS));
}
