import type { Sql } from 'postgres';
import { type Id, uuidOf } from '../core/ids.ts';
import type { RuleName, Rules } from '../core/rules.ts';

/** What the rules say of a claimed delivery that is not sent now. */
export type VerdictRecord = {
  deliveryId: Id<'dlv'>;
  endpointId: Id<'ep'>;
  owner: string;
  fence: number;
  rule: RuleName;
  /** Null: it is left out for good. */
  holdUntil: Date | null;
  /** Those it was judged by. */
  rules: Rules;
};

/**
 * Gives claimed deliveries back: left out, or held until a time. What was held by rules that are no longer the
 * endpoint's is due at once. The endpoint is locked for that: whoever changes rules changes them before or after, and
 * then releases what is held (`releaseHeld`).
 *
 * What a rate was charged for them is given back.
 *
 * @returns for each whether it was still ours.
 */
export async function recordVerdicts(sql: Sql, records: readonly VerdictRecord[]): Promise<boolean[]> {
  const column = <T>(read: (record: VerdictRecord) => T) => records.map(read);
  const settled = await sql<{ id: string }[]>`
    WITH verdict AS MATERIALIZED (
      SELECT * FROM unnest(
        ${column((record) => uuidOf(record.deliveryId))}::uuid[],
        ${column((record) => uuidOf(record.endpointId))}::uuid[],
        ${column((record) => record.owner)}::uuid[],
        ${column((record) => record.fence)}::int[],
        ${column((record) => record.rule)}::text[],
        ${column((record) => record.holdUntil?.toISOString() ?? null)}::timestamptz[],
        ${column((record) => JSON.stringify(record.rules))}::text[]
      ) AS verdict (delivery_id, endpoint_id, owner, fence, rule, hold_until, rules)
    ), judge AS MATERIALIZED (
      SELECT id, rules, rate_per_second FROM endpoints
      WHERE id IN (SELECT endpoint_id FROM verdict)
      ORDER BY id FOR NO KEY UPDATE
    ), settled AS (
      UPDATE deliveries SET
        -- Since it was claimed, somebody may have asked for it whatever rules say.
        status = CASE WHEN hold_until IS NULL AND NOT ignores_rules THEN 'skipped' ELSE 'pending' END,
        rule = CASE WHEN NOT ignores_rules THEN verdict.rule END,
        lease_owner = NULL,
        -- By PostgreSQL's clock a time may be over that by ours is not: then it would come back at once, over and over.
        next_attempt_at = CASE
          WHEN hold_until IS NOT NULL AND NOT ignores_rules AND judge.rules = verdict.rules::jsonb
          THEN greatest(hold_until, now() + interval '1 second') ELSE now() END,
        completed_at = CASE WHEN hold_until IS NULL AND NOT ignores_rules THEN now() END
      FROM verdict JOIN judge ON judge.id = verdict.endpoint_id
      WHERE deliveries.id = verdict.delivery_id AND deliveries.fence = verdict.fence
        AND deliveries.status = 'pending' AND deliveries.lease_owner = verdict.owner
      RETURNING deliveries.id, deliveries.endpoint_id
    ), given_back AS (
      UPDATE endpoints SET paced_until = paced_until - settled.count * interval '1 second' / rate_per_second
      FROM (SELECT endpoint_id, count(*) AS count FROM settled GROUP BY endpoint_id) settled
      WHERE endpoints.id = settled.endpoint_id AND endpoints.rate_per_second IS NOT NULL
    )
    SELECT id, set_config('synchronous_commit', 'off', true) FROM settled`;
  const ids = new Set(settled.map(({ id }) => id.replaceAll('-', '')));
  return records.map(({ deliveryId }) => ids.has(uuidOf(deliveryId)));
}

/** Makes what rules hold due now, to be judged again: by rules that were changed. */
export async function releaseHeld(sql: Sql, endpointId: Id<'ep'>): Promise<void> {
  await sql`
    UPDATE deliveries SET next_attempt_at = now()
    WHERE endpoint_id = ${uuidOf(endpointId)} AND status = 'pending' AND rule IS NOT NULL AND lease_owner IS NULL
      AND next_attempt_at > now() AND next_attempt_at < 'infinity'`;
}
