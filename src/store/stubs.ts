import type { Sql } from 'postgres';
import { type Id, idOf, uuidOf } from '../core/ids.ts';
import type { Stub } from '../core/resources.ts';
import { inPageOrder, isInPage, type Page, type PageRequest, toPage } from './page.ts';

type StubRow = Omit<Stub, 'createdAt' | 'updatedAt'> & { createdAt: Date; updatedAt: Date };

export async function listStubs(
  sql: Sql,
  sourceId: Id<'src'>,
  request: PageRequest & { status?: Stub['status'] | undefined },
): Promise<Page<Stub>> {
  const rows = await sql<StubRow[]>`
    SELECT stubs.id, provider_id AS "providerId", status, error, attempts, stubs.created_at AS "createdAt",
           updated_at AS "updatedAt"
    FROM stubs JOIN sources ON sources.id = source_id JOIN mailboxes ON mailboxes.id = mailbox_id
    WHERE source_id = ${uuidOf(sourceId)} AND ${isInPage(sql, { id: 'stubs.id', tenant: 'mailboxes.tenant' }, request)}
      ${request.status === undefined ? sql`` : sql`AND status = ${request.status}`}
    ${inPageOrder(sql, 'stubs.id', request)}`;
  return toPage(
    rows.map((row) => ({
      ...row,
      id: idOf('stb', row.id),
      createdAt: row.createdAt.toISOString(),
      updatedAt: row.updatedAt.toISOString(),
    })),
    request,
  );
}
