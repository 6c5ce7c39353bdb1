import type { Sql } from 'postgres';
import { createId, type Id, uuidOf } from '../../src/core/ids.ts';

/** A source of kind imap as the store keeps it, due and without anyone who reads it. */
export async function addImapSource(
  sql: Sql,
  {
    account,
    mailboxId,
    settings = {},
  }: { account: string | null; mailboxId?: Id<'mbx'>; settings?: Record<string, unknown> },
): Promise<{ id: Id<'src'>; mailboxId: Id<'mbx'> }> {
  const id = createId('src');
  const mailbox = mailboxId ?? (await addMailbox(sql));
  await sql`
    INSERT INTO sources (id, mailbox_id, kind, account, state, settings)
    VALUES (${uuidOf(id)}, ${uuidOf(mailbox)}, 'imap', ${account},
            ${settings.standby === true ? 'standby' : 'disconnected'}, ${JSON.stringify(settings)}::text::jsonb)`;
  return { id, mailboxId: mailbox };
}

export async function addMailbox(sql: Sql): Promise<Id<'mbx'>> {
  const id = createId('mbx');
  await sql`INSERT INTO mailboxes (id, tenant, address) VALUES (${uuidOf(id)}, 'default', ${`${id}@example.com`})`;
  return id;
}
