import type { Fragment, Sql } from 'postgres';
import { gmailKeyOf } from '../core/dedupe.ts';
import { canonicalGmailId } from '../core/gmail-id.ts';
import { createId, type Id, uuidOf } from '../core/ids.ts';
import { logGaps, wantGap } from './gap-filling.ts';
import { isHeld, LEASE_MS, type Lease } from './source-leases.ts';
import { insertStubs, type NewStub } from './stub-queue.ts';
import { tellEndpoints } from './tell.ts';

/*
 * What the sync of a Gmail mailbox keeps. A page of history becomes stubs, and the cursor moves in the same statement:
 * there is no moment at which the cursor has passed what nothing stands for. A gap stands for its stretch until it is
 * listed, its stubs from then on.
 */

/**
 * Keeps a page of history: a stub for each id that is not stored, and the cursor behind the page. Compare and set: both
 * or none.
 *
 * @returns false when the lease or the cursor is another's by now.
 */
export async function keepHistoryPage(
  sql: Sql,
  lease: Lease,
  page: { messageIds: readonly string[]; from: string; to: string },
): Promise<boolean> {
  const [kept] = await sql<[{ held: number }]>`
    WITH held AS (
      -- What was to be adopted unless something turns up is not: it has.
      UPDATE sources SET cursor = ${page.to}, settling_cursor = NULL, settling_at = NULL, ${renewed(sql)}
      WHERE ${isHeld(sql, lease)} AND cursor = ${page.from}
      RETURNING id, mailbox_id
    ), stubbed AS (${insertStubs(sql, page.messageIds.map(gmailStubOf), undefined)})
    SELECT (SELECT count(*)::int FROM held) AS held, set_config('synchronous_commit', 'off', true)`;
  return kept.held > 0;
}

/**
 * Jumps over history that cannot be read any more. The gap stands for what is jumped over, from the same commit on.
 *
 * @returns false when the lease or the cursor is another's by now.
 */
export async function jumpWithGap(
  sql: Sql,
  lease: Lease,
  jump: { reason: 'history_expired' | 'reset'; from: string | null; to: string; since: Date },
): Promise<boolean> {
  const [jumped] = await sql<[{ held: number }]>`
    WITH held AS (
      UPDATE sources SET cursor = ${jump.to}, settling_cursor = NULL, settling_at = NULL, ${renewed(sql)}
      WHERE ${isHeld(sql, lease)} AND cursor IS NOT DISTINCT FROM ${jump.from}::text
      RETURNING id, mailbox_id
    ), gapped AS (
      INSERT INTO gaps (id, source_id, reason, from_cursor, to_cursor, recovered_by, since)
      SELECT ${uuidOf(createId('gap'))}::uuid, id, ${jump.reason}, ${jump.from}::text, ${jump.to}, 'search',
             ${jump.since}::timestamptz
      FROM held
      ON CONFLICT (source_id, reason, from_cursor, to_cursor) DO UPDATE SET
        recovered_at = NULL, listed_at = NULL, page_token = NULL, opened_at = now(),
        since = least(gaps.since, excluded.since), listed = 0,
        recovered = CASE WHEN gaps.recovered_at IS NULL THEN gaps.recovered ELSE 0 END
      RETURNING *
    ), logged AS (${logGaps(sql, 'gap.opened')}), told AS (${tellEndpoints(sql)})
    SELECT (SELECT count(*)::int FROM held) AS held`;
  return jumped.held > 0;
}

/** Wants what came in that stretch held against what is stored, and notes when that was. */
export async function requestAudit(
  sql: Sql,
  sourceId: Id<'src'>,
  stretch: { since: Date; until: Date },
): Promise<void> {
  await sql`
    WITH wanted AS (${wantGap(sql, sourceId, { reason: 'audit', ...stretch })})
    UPDATE sources SET audited_at = now() WHERE id = ${uuidOf(sourceId)}`;
}

/** The stub of a Gmail mail, whose key its id alone decides. */
export function gmailStubOf(messageId: string): NewStub {
  const providerId = canonicalGmailId(messageId);
  return { providerId, key: gmailKeyOf(providerId) };
}

function renewed(sql: Sql): Fragment {
  return sql`lease_until = now() + ${LEASE_MS}::int * interval '1 millisecond'`;
}
