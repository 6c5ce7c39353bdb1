import type { Sql } from 'postgres';
import { createId, type Id, uuidOf } from '../../src/core/ids.ts';

/** A source of kind gmail as the store keeps it, without anyone who reads it. */
export async function addGmailSource(sql: Sql, account: string, tenant = 'default'): Promise<Id<'src'>> {
  const mailboxId = createId('mbx');
  const id = createId('src');
  await sql`
    WITH mailbox AS (
      INSERT INTO mailboxes (id, tenant, address) VALUES (${uuidOf(mailboxId)}, ${tenant}, ${account})
    )
    INSERT INTO sources (id, mailbox_id, kind, account, state)
    VALUES (${uuidOf(id)}, ${uuidOf(mailboxId)}, 'gmail', ${account}, 'idle')`;
  return id;
}

export type KeptHint = { historyId: string | null; at: Date | null; lagLooks: number };

export async function readHint(sql: Sql, id: Id<'src'>): Promise<KeptHint> {
  const [row] = await sql<[KeptHint]>`
    SELECT hinted_history_id::text AS "historyId", hinted_at AS at, lag_looks AS "lagLooks"
    FROM sources WHERE id = ${uuidOf(id)}`;
  return row;
}
