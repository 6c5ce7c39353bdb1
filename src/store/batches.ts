import { eq, sql } from 'drizzle-orm';
import { createId, type Id } from '../core/ids.ts';
import type { Gap } from '../core/resources.ts';
import type { Database, Transaction } from './database.ts';
import { appendEvent } from './events.ts';
import { gaps, mailboxes, sources, stubs } from './schema.ts';

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
 * Keeps the report, in one transaction: stubs for what is not stored, a row for each gap, then the cursor. Call it
 * once every mail of the batch is durable, since the cursor says so. Safe to repeat.
 *
 * @returns whether events were appended, so that the dispatcher should look.
 */
export function recordBatch(database: Database, sourceId: Id<'src'>, report: BatchReport): Promise<boolean> {
  return database.transaction(async (tx) => {
    const [row] = await tx
      .select({ cursor: sources.cursor, tenant: mailboxes.tenant, mailboxId: mailboxes.id })
      .from(sources)
      .innerJoin(mailboxes, eq(mailboxes.id, sources.mailboxId))
      .where(eq(sources.id, sourceId))
      // Batches of one source queue here, so that the cursor each compares with is the one it replaces.
      .for('update', { of: sources });
    if (row === undefined) return false;

    await keepStubs(tx, sourceId, report);
    const opened = gapsOf(report, row.cursor);
    for (const gap of opened) {
      const kept = await keepGap(tx, sourceId, gap);
      if (kept !== undefined) {
        const type = kept.recoveredAt === null ? 'gap.opened' : 'gap.recovered';
        await appendEvent(tx, { type, tenant: row.tenant, mailboxId: row.mailboxId, data: { gap: kept } });
      }
    }
    const cursor = greaterCursor(row.cursor, report.cursor?.to ?? null);
    if (cursor !== row.cursor) await tx.update(sources).set({ cursor }).where(eq(sources.id, sourceId));
    return opened.length > 0;
  });
}

type NewGap = { reason: string; from: string | null; to: string | null; recoveredBy: string | null };

function gapsOf(report: BatchReport, acknowledged: string | null): NewGap[] {
  const { cursor, gap } = report;
  // A gap that the script tells of explains a jump of the cursor.
  if (gap !== null) return [{ ...gap, to: cursor?.to ?? null }];
  // History ids are unsigned 64-bit and may grow past that: compared as BigInt, never as numbers.
  if (acknowledged === null || cursor === null || BigInt(cursor.from) <= BigInt(acknowledged)) return [];
  return [{ reason: 'cursor_jump', from: acknowledged, to: cursor.from, recoveredBy: null }];
}

function greaterCursor(a: string | null, b: string | null): string | null {
  if (a === null || b === null) return a ?? b;
  return BigInt(b) > BigInt(a) ? b : a;
}

async function keepStubs(tx: Transaction, sourceId: Id<'src'>, report: BatchReport): Promise<void> {
  // The last word on an id wins; one INSERT may not touch a row twice.
  const byId = new Map<string, { status: 'missing' | 'failed'; error: string | null; attempts: number }>();
  for (const id of report.missing) byId.set(id, { status: 'missing', error: null, attempts: 0 });
  for (const { id, error, attempts } of report.failed) byId.set(id, { status: 'failed', error, attempts });
  const rows = [...byId].sort(([a], [b]) => (a < b ? -1 : 1));
  const chunkRows = 1000;
  for (let at = 0; at < rows.length; at += chunkRows) {
    await tx
      .insert(stubs)
      .values(
        rows
          .slice(at, at + chunkRows)
          .map(([providerId, stub]) => ({ id: createId('stb'), sourceId, providerId, ...stub })),
      )
      .onConflictDoUpdate({
        target: [stubs.sourceId, stubs.providerId],
        set: {
          status: sql`excluded.status`,
          error: sql`excluded.error`,
          attempts: sql`greatest(${stubs.attempts}, excluded.attempts)`,
          updatedAt: sql`now()`,
        },
      });
  }
}

/** @returns undefined when the same gap is there already: a batch may come twice. */
async function keepGap(tx: Transaction, sourceId: Id<'src'>, gap: NewGap): Promise<Gap | undefined> {
  const [row] = await tx
    .insert(gaps)
    .values({
      id: createId('gap'),
      sourceId,
      reason: gap.reason,
      fromCursor: gap.from,
      toCursor: gap.to,
      recoveredBy: gap.recoveredBy,
      // A gap told of with its recovery is closed: the mails of the recovery came with or before this batch.
      recoveredAt: gap.recoveredBy === null ? null : sql`now()`,
    })
    .onConflictDoNothing()
    .returning();
  return row && toGap(row);
}

function toGap(row: typeof gaps.$inferSelect): Gap {
  return {
    id: row.id,
    sourceId: row.sourceId,
    reason: row.reason,
    from: row.fromCursor,
    to: row.toCursor,
    recoveredBy: row.recoveredBy,
    openedAt: row.openedAt.toISOString(),
    recoveredAt: row.recoveredAt?.toISOString() ?? null,
  };
}
