import type { Sql } from 'postgres';
import { gmailKeyOf } from '../core/dedupe.ts';
import { createId, type Id, uuidOf } from '../core/ids.ts';
import { gapAsJson } from './gaps.ts';
import { tellEndpoints } from './tell.ts';

/** What a pushed batch tells beside its mails. */
export type BatchReport = {
  /** Digits; the stretch of history the batch stands for. */
  cursor: { from: string; to: string } | null;
  missing: readonly string[];
  failed: readonly { id: string; error: string; attempts: number }[];
  gap: { from: string | null; reason: string; recoveredBy: string | null } | null;
  /** Provider ids of mail that is stored: stubs that stood for it go. */
  stored: readonly string[];
};

/** A batch that tells nothing beside its mails. */
export const EMPTY_REPORT: BatchReport = { cursor: null, missing: [], failed: [], gap: null, stored: [] };

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
  const gap = gapOf(report, cursor);
  const [written] = await sql<[{ moved: number; logged: number }]>`
    WITH moved AS (
      UPDATE sources SET cursor = ${greaterCursor(cursor, report.cursor?.to ?? null)}::text
      WHERE id = ${uuidOf(sourceId)} AND cursor IS NOT DISTINCT FROM ${cursor}::text
      RETURNING id
    ), cleared AS (
      DELETE FROM stubs USING moved
      WHERE source_id = moved.id AND provider_id = ANY (${[...report.stored]}::text[])
    ), stubbed AS (
      INSERT INTO stubs (id, source_id, provider_id, status, error, attempts)
      SELECT stub.id, moved.id, provider_id, status, error, attempts
      FROM moved, unnest(
        ${stubs.map(() => uuidOf(createId('stb')))}::uuid[],
        ${stubs.map(({ id }) => id)}::text[],
        ${stubs.map(({ status }) => status)}::text[],
        ${stubs.map(({ error }) => error)}::text[],
        ${stubs.map(({ attempts }) => attempts)}::int[],
        ${stubs.map(({ id }) => Buffer.from(gmailKeyOf(id)).toString('hex'))}::uuid[]
      ) AS stub (id, provider_id, status, error, attempts, key)
      -- Gone when fetched again, after it was stored: that is no loss.
      WHERE status <> 'missing' OR NOT EXISTS (
        SELECT FROM dedupe_ledger WHERE mailbox_id = ${mailboxId}::uuid AND dedupe_ledger.key = stub.key
      )
      ON CONFLICT (source_id, provider_id) DO UPDATE SET
        status = excluded.status, error = excluded.error, updated_at = now(),
        attempts = greatest(stubs.attempts, excluded.attempts)
    ), gapped AS (
      INSERT INTO gaps (id, source_id, reason, from_cursor, to_cursor, recovered_by, recovered_at)
      SELECT ${uuidOf(createId('gap'))}::uuid, moved.id, ${gap?.reason ?? ''}::text, ${gap?.from ?? null}::text,
             ${gap?.to ?? null}::text, ${gap?.recoveredBy ?? null}::text,
             -- Told of with its recovery it is closed: the mails of the recovery came with or before this batch.
             CASE WHEN ${gap?.recoveredBy != null}::boolean THEN now() END
      FROM moved WHERE ${gap !== undefined}::boolean
      -- A batch may come twice; its gap is one, and may be told of again when it is recovered.
      ON CONFLICT (source_id, reason, from_cursor, to_cursor) DO UPDATE
        SET recovered_by = excluded.recovered_by, recovered_at = excluded.recovered_at
        WHERE gaps.recovered_at IS NULL AND excluded.recovered_at IS NOT NULL
      RETURNING *
    ), logged AS (
      INSERT INTO events (id, type, tenant, mailbox_id, data)
      SELECT ${uuidOf(createId('evt'))}::uuid,
             CASE WHEN recovered_at IS NULL THEN 'gap.opened' ELSE 'gap.recovered' END,
             ${tenant}::text, ${mailboxId}::uuid, json_build_object('gap', ${gapAsJson(sql)})
      FROM gapped
      RETURNING id, type, tenant
    ), told AS (
      ${tellEndpoints(sql)}
    )
    SELECT (SELECT count(*)::int FROM moved) AS moved, (SELECT count(*)::int FROM logged) AS logged`;
  return written;
}

/** The gap that a batch tells of, or shows by beginning behind what was acknowledged. */
function gapOf(
  report: BatchReport,
  acknowledged: string | null,
): { reason: string; from: string | null; to: string | null; recoveredBy: string | null } | undefined {
  const { cursor, gap } = report;
  if (gap !== null) return { ...gap, to: cursor?.to ?? null };
  // History ids are unsigned 64-bit and may grow past that: compared as BigInt, never as numbers.
  if (acknowledged === null || cursor === null || BigInt(cursor.from) <= BigInt(acknowledged))
    return undefined;
  return { reason: 'cursor_jump', from: acknowledged, to: cursor.from, recoveredBy: null };
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
  for (const id of report.stored) byId.delete(id);
  return [...byId.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
}
