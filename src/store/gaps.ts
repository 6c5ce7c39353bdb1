import type { Fragment, Sql } from 'postgres';
import { type Id, idOf, uuidOf } from '../core/ids.ts';
import type { Gap } from '../core/resources.ts';
import { inPageOrder, isInPage, type Page, type PageRequest, toPage } from './page.ts';

type GapRow = Omit<Gap, 'openedAt' | 'recoveredAt' | 'since'> & {
  openedAt: Date;
  recoveredAt: Date | null;
  since: Date | null;
};

export async function listGaps(
  sql: Sql,
  request: PageRequest & {
    sourceId?: Id<'src'> | undefined;
    mailboxId?: Id<'mbx'> | undefined;
    isOpen?: boolean | undefined;
  },
): Promise<Page<Gap>> {
  const { sourceId, mailboxId, isOpen } = request;
  const rows = await sql<GapRow[]>`
    SELECT gaps.id, source_id AS "sourceId", gaps.reason, from_cursor AS "from", to_cursor AS "to", since,
           recovered_by AS "recoveredBy", listed, recovered, opened_at AS "openedAt", recovered_at AS "recoveredAt"
    FROM gaps JOIN sources ON sources.id = source_id JOIN mailboxes ON mailboxes.id = mailbox_id
    WHERE ${isInPage(sql, { id: 'gaps.id', tenant: 'mailboxes.tenant' }, request)}
      ${sourceId === undefined ? sql`` : sql`AND source_id = ${uuidOf(sourceId)}`}
      ${mailboxId === undefined ? sql`` : sql`AND mailbox_id = ${uuidOf(mailboxId)}`}
      ${isOpen === undefined ? sql`` : sql`AND (recovered_at IS NULL) = ${isOpen}::boolean`}
    ${inPageOrder(sql, 'gaps.id', request)}`;
  return toPage(
    rows.map((row) => ({
      ...row,
      id: idOf('gap', row.id),
      sourceId: idOf('src', row.sourceId),
      since: row.since?.toISOString() ?? null,
      openedAt: row.openedAt.toISOString(),
      recoveredAt: row.recoveredAt?.toISOString() ?? null,
    })),
    request,
  );
}

/** A row of gaps in the shape of `gapSchema`, for the events of statements. */
export function gapAsJson(sql: Sql): Fragment {
  const iso = (column: string) =>
    sql`to_char(${sql(column)} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;
  return sql`json_build_object(
    'id', 'gap_' || replace(id::text, '-', ''), 'sourceId', 'src_' || replace(source_id::text, '-', ''),
    'reason', reason, 'from', from_cursor, 'to', to_cursor, 'since', ${iso('since')}, 'recoveredBy', recovered_by,
    'listed', listed, 'recovered', recovered, 'openedAt', ${iso('opened_at')}, 'recoveredAt', ${iso('recovered_at')})`;
}
