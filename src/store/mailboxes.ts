import type { Sql } from 'postgres';
import { MailgressError } from '../core/errors.ts';
import { createId, type Id, idOf, uuidOf } from '../core/ids.ts';
import type { Mailbox } from '../core/resources.ts';
import { inPageOrder, isInPage, type Page, type PageRequest, toPage } from './page.ts';
import { isUniqueViolation } from './unavailable.ts';

type MailboxRow = Omit<Mailbox, 'createdAt'> & { createdAt: Date };

type MailboxChange = {
  address?: string | null | undefined;
  authenticationServers?: string[] | null | undefined;
};

/** @throws MailgressError `conflict` when the tenant already watches the address (compared without case). */
export async function createMailbox(
  sql: Sql,
  {
    tenant,
    address,
    authenticationServers = [],
  }: { tenant: string; address: string; authenticationServers?: string[] },
): Promise<Mailbox> {
  try {
    const [row] = await sql<[MailboxRow]>`
      INSERT INTO mailboxes (id, tenant, address, authentication_servers)
      VALUES (${uuidOf(createId('mbx'))}, ${tenant}, ${address}, ${authenticationServers}::text[])
      RETURNING ${columns(sql)}`;
    return toMailbox(row);
  } catch (error) {
    if (!isUniqueViolation(error)) throw error;
    throw new MailgressError(
      'conflict',
      `Tenant ${tenant} already has a mailbox with the address ${address}`,
    );
  }
}

export async function listMailboxes(sql: Sql, request: PageRequest): Promise<Page<Mailbox>> {
  const rows = await sql<MailboxRow[]>`
    SELECT ${columns(sql)} FROM mailboxes 
    WHERE ${isInPage(sql, { id: 'id', tenant: 'tenant' }, request)} ${inPageOrder(sql, 'id', request)}`;
  return toPage(rows.map(toMailbox), request);
}

export async function findMailbox(sql: Sql, id: Id<'mbx'>): Promise<Mailbox | undefined> {
  const [row] = await sql<MailboxRow[]>`SELECT ${columns(sql)} FROM mailboxes WHERE id = ${uuidOf(id)}`;
  return row && toMailbox(row);
}

/**
 * Changes what is given of it. What is stored keeps the address it came under, and the results it was given.
 *
 * @throws MailgressError `conflict` when another mailbox of the tenant has it.
 */
export async function updateMailbox(
  sql: Sql,
  id: Id<'mbx'>,
  { address = null, authenticationServers = null }: MailboxChange,
): Promise<Mailbox | undefined> {
  try {
    const [row] = await sql<MailboxRow[]>`
      UPDATE mailboxes SET
        address = coalesce(${address}, address),
        authentication_servers = coalesce(${authenticationServers}::text[], authentication_servers)
      WHERE id = ${uuidOf(id)} RETURNING ${columns(sql)}`;
    return row && toMailbox(row);
  } catch (error) {
    if (!isUniqueViolation(error)) throw error;
    throw new MailgressError('conflict', `Another mailbox of this tenant has the address ${address}`);
  }
}

/**
 * Deletes the mailbox and all that came through it: sources, messages, raw mail, events, deliveries, ledger. All or
 * nothing: the function of the database (see drizzle/) is one statement to us.
 *
 * @returns false if there is none.
 */
export async function deleteMailbox(sql: Sql, id: Id<'mbx'>): Promise<boolean> {
  const [row] = await sql<[{ isDeleted: boolean }]>`
    SELECT mailgress_delete_mailbox(${uuidOf(id)}) AS "isDeleted"`;
  return row.isDeleted;
}

function columns(sql: Sql) {
  return sql`id, tenant, address, authentication_servers AS "authenticationServers", created_at AS "createdAt"`;
}

function toMailbox({ id, createdAt, ...row }: MailboxRow): Mailbox {
  return { id: idOf('mbx', id), ...row, createdAt: createdAt.toISOString() };
}
