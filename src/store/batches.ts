import type { Sql } from 'postgres';
import { createId, type Id, uuidOf } from '../core/ids.ts';
import type { Gap } from '../core/resources.ts';

/** What a pushed batch tells beside its mails. */
export type BatchReport = {
  /** Digits; the stretch of history the batch stands for. */
  cursor: { from: string; to: string } | null;
  missing: readonly string[];
  failed: readonly { id: string; error: string; attempts: number }[];
  gap: { from: string | null; reason: string; recoveredBy: string | null } | null;
};

/** A batch that tells nothing beside its mails. */
export const EMPTY_REPORT: BatchReport = { cursor: null, missing: [], failed: [], gap: null };

/**
 * Keeps the report, all or nothing: stubs for what is not stored, a row and an event for a gap, and the cursor. Call it
 * once every mail of the batch is durable, since the cursor says so. Safe to repeat.
 *
 * @returns whether an event was appended, so that the dispatcher should look.
 */
export async function recordBatch(sql: Sql, sourceId: Id<'src'>, report: BatchReport): Promise<boolean> {
  for (;;) {
    const [source] = await sql<SourceRow[]>`
      SELECT cursor, tenant, mailbox_id AS "mailboxId"
      FROM sources JOIN mailboxes ON mailboxes.id = mailbox_id WHERE sources.id = ${uuidOf(sourceId)}`;
    if (source === undefined) return false;
    const written = await writeReport(sql, sourceId, source, report);
    // Another batch of the source moved the cursor in between: what this one means has to be seen anew.
    if (written.moved > 0) return written.logged > 0;
  }
}

type SourceRow = { cursor: string | null; tenant: string; mailboxId: string };

async function writeReport(
  sql: Sql,
  sourceId: Id<'src'>,
  { cursor, tenant, mailboxId }: SourceRow,
  report: BatchReport,
): Promise<{ moved: number; logged: number }> {
  const stubs = stubsOf(report);
  const gap = gapOf(sourceId, report, cursor);
  const [written] = await sql<[{ moved: number; logged: number }]>`
    WITH moved AS (
      UPDATE sources SET cursor = ${greaterCursor(cursor, report.cursor?.to ?? null)}::text
      WHERE id = ${uuidOf(sourceId)} AND cursor IS NOT DISTINCT FROM ${cursor}::text
      RETURNING id
    ), stubbed AS (
      INSERT INTO stubs (id, source_id, provider_id, status, error, attempts)
      SELECT stub.id, moved.id, provider_id, status, error, attempts
      FROM moved, unnest(
        ${stubs.map(() => uuidOf(createId('stb')))}::uuid[],
        ${stubs.map(({ id }) => id)}::text[],
        ${stubs.map(({ status }) => status)}::text[],
        ${stubs.map(({ error }) => error)}::text[],
        ${stubs.map(({ attempts }) => attempts)}::int[]
      ) AS stub (id, provider_id, status, error, attempts)
      ON CONFLICT (source_id, provider_id) DO UPDATE SET
        status = excluded.status, error = excluded.error, updated_at = now(),
        attempts = greatest(stubs.attempts, excluded.attempts)
    ), gapped AS (
      INSERT INTO gaps (id, source_id, reason, from_cursor, to_cursor, recovered_by, opened_at, recovered_at)
      SELECT ${gap === undefined ? null : gap.id.slice('gap_'.length)}::uuid, moved.id, ${gap?.reason ?? ''}::text,
             ${gap?.from ?? null}::text, ${gap?.to ?? null}::text, ${gap?.recoveredBy ?? null}::text,
             ${gap?.openedAt ?? null}::timestamptz, ${gap?.recoveredAt ?? null}::timestamptz
      FROM moved WHERE ${gap !== undefined}::boolean
      -- A batch may come twice; its gap is one.
      ON CONFLICT DO NOTHING
      RETURNING id
    ), logged AS (
      INSERT INTO events (id, type, tenant, mailbox_id, data)
      SELECT ${uuidOf(createId('evt'))}::uuid, ${gap?.recoveredAt ? 'gap.recovered' : 'gap.opened'}::text,
             ${tenant}::text, ${mailboxId}::uuid, ${JSON.stringify({ gap })}::text::json
      FROM gapped
      RETURNING id, type, tenant
    ), told AS (
      INSERT INTO deliveries (id, endpoint_id, event_id)
      SELECT mailgress_uuidv7(), endpoints.id, logged.id
      FROM logged JOIN endpoints
        ON endpoints.is_enabled AND (endpoints.tenant IS NULL OR endpoints.tenant = logged.tenant)
       AND logged.type = ANY (endpoints.types)
    )
    SELECT (SELECT count(*)::int FROM moved) AS moved, (SELECT count(*)::int FROM logged) AS logged`;
  return written;
}

/** The gap that a batch tells of, or shows by beginning behind what was acknowledged. */
function gapOf(sourceId: Id<'src'>, report: BatchReport, acknowledged: string | null): Gap | undefined {
  const { cursor, gap } = report;
  const now = new Date().toISOString();
  const base = { id: createId('gap'), sourceId, openedAt: now };
  if (gap !== null) {
    // Told of with its recovery it is closed: the mails of the recovery came with or before this batch.
    return { ...base, ...gap, to: cursor?.to ?? null, recoveredAt: gap.recoveredBy === null ? null : now };
  }
  // History ids are unsigned 64-bit and may grow past that: compared as BigInt, never as numbers.
  if (acknowledged === null || cursor === null || BigInt(cursor.from) <= BigInt(acknowledged))
    return undefined;
  const jump = { reason: 'cursor_jump', from: acknowledged, to: cursor.from };
  return { ...base, ...jump, recoveredBy: null, recoveredAt: null };
}

function greaterCursor(a: string | null, b: string | null): string | null {
  if (a === null || b === null) return a ?? b;
  return BigInt(b) > BigInt(a) ? b : a;
}

type Stub = { id: string; status: 'missing' | 'failed'; error: string | null; attempts: number };

/** One stub an id, the last word on it: an INSERT may not touch a row twice. Sorted, as all who insert them do. */
function stubsOf(report: BatchReport): Stub[] {
  const byId = new Map<string, Stub>();
  for (const id of report.missing) byId.set(id, { id, status: 'missing', error: null, attempts: 0 });
  for (const failed of report.failed) byId.set(failed.id, { ...failed, status: 'failed' });
  return [...byId.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
}
