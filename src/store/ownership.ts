import type { Sql } from 'postgres';
import { type Id, type IdPrefix, uuidOf } from '../core/ids.ts';

/**
 * Which of the things that these ids name are not the tenant's: another's, or none at all. One statement, a probe of a
 * primary key or two for each id.
 *
 * What belongs to all tenants (a tenant of null) is no tenant's own, and a delivery belongs to whom its endpoint does.
 * Of a kind that this does not know nothing is anyone's.
 */
export async function findForeign<I extends Id>(sql: Sql, tenant: string, ids: readonly I[]): Promise<I[]> {
  if (ids.length === 0) return [];
  const rows = await sql<{ at: number }[]>`
    SELECT named.at::int AS at
    FROM unnest(${ids.map(prefixOf)}::text[], ${ids.map(uuidOf)}::uuid[]) WITH ORDINALITY AS named (kind, id, at)
    WHERE NOT CASE kind
      WHEN 'mbx' THEN EXISTS (SELECT FROM mailboxes WHERE mailboxes.id = named.id AND tenant = ${tenant})
      WHEN 'src' THEN EXISTS (
        SELECT FROM sources JOIN mailboxes ON mailboxes.id = mailbox_id
        WHERE sources.id = named.id AND tenant = ${tenant}
      )
      WHEN 'gap' THEN EXISTS (
        SELECT FROM gaps JOIN sources ON sources.id = source_id JOIN mailboxes ON mailboxes.id = mailbox_id
        WHERE gaps.id = named.id AND tenant = ${tenant}
      )
      WHEN 'stb' THEN EXISTS (
        SELECT FROM stubs JOIN sources ON sources.id = source_id JOIN mailboxes ON mailboxes.id = mailbox_id
        WHERE stubs.id = named.id AND tenant = ${tenant}
      )
      WHEN 'msg' THEN EXISTS (SELECT FROM messages WHERE messages.id = named.id AND tenant = ${tenant})
      WHEN 'evt' THEN EXISTS (SELECT FROM events WHERE events.id = named.id AND tenant = ${tenant})
      WHEN 'ep' THEN EXISTS (SELECT FROM endpoints WHERE endpoints.id = named.id AND tenant = ${tenant})
      WHEN 'dlv' THEN EXISTS (
        SELECT FROM deliveries JOIN endpoints ON endpoints.id = endpoint_id
        WHERE deliveries.id = named.id AND tenant = ${tenant}
      )
      WHEN 'att' THEN EXISTS (
        SELECT FROM attempts JOIN deliveries ON deliveries.id = delivery_id JOIN endpoints ON endpoints.id = endpoint_id
        WHERE attempts.id = named.id AND tenant = ${tenant}
      )
      WHEN 'rpl' THEN EXISTS (
        SELECT FROM replays JOIN endpoints ON endpoints.id = endpoint_id
        WHERE replays.id = named.id AND tenant = ${tenant}
      )
      WHEN 'key' THEN EXISTS (SELECT FROM api_keys WHERE api_keys.id = named.id AND tenant = ${tenant})
      ELSE false
    END
    ORDER BY at`;
  return rows.flatMap(({ at }) => ids[at - 1] ?? []);
}

function prefixOf(id: Id): IdPrefix {
  // An `Id` begins with its prefix.
  return id.slice(0, id.indexOf('_')) as IdPrefix;
}
