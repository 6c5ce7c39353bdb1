import type { Fragment, Sql } from 'postgres';
import { type Id, uuidOf } from '../core/ids.ts';
import { type Message, type MessageSummary, messageSummarySchema, type Placement } from '../core/message.ts';
import { inPageOrder, isInPage, type Page, type PageRequest, toPage } from './page.ts';

/** What a list of messages can be held to; `from` is a whole address, in any case. */
export type MessageFilters = {
  mailboxId?: Id<'mbx'> | undefined;
  placement?: Placement | undefined;
  from?: string | undefined;
};

export async function listMessages(
  sql: Sql,
  request: PageRequest & MessageFilters,
): Promise<Page<MessageSummary>> {
  const rows = await sql<{ summary: MessageSummary }[]>`
    SELECT ${summaryOf(sql)} AS summary FROM messages WHERE ${isListed(sql, request)}
    ${inPageOrder(sql, 'id', request)}`;
  return toPage(
    rows.map((row) => inPublishedOrder(row.summary)),
    request,
  );
}

/** Cut out in the database: 500 messages may hold 512 KiB of text each. */
export function summaryOf(sql: Sql): Fragment {
  return sql`messages.document::jsonb - '{text,html,headers}'::text[]`;
}

/** The condition of a page of messages. */
export function isListed(sql: Sql, request: PageRequest & MessageFilters): Fragment {
  const { mailboxId, placement, from } = request;
  return sql`${isInPage(sql, { id: 'messages.id', tenant: 'messages.tenant' }, request)}
    ${mailboxId === undefined ? sql`` : sql`AND messages.mailbox_id = ${uuidOf(mailboxId)}`}
    ${placement === undefined ? sql`` : sql`AND messages.placement = ${placement}`}
    ${from === undefined ? sql`` : sql`AND lower(messages.from_address) = ${from.toLowerCase()}`}`;
}

/** jsonb forgets the order of keys. */
export function inPublishedOrder(summary: MessageSummary): MessageSummary {
  return Object.assign(
    Object.fromEntries(Object.keys(messageSummarySchema.shape).map((key) => [key, undefined])),
    summary,
  );
}

/** The whole message: text and html uncut. */
export async function findMessage(sql: Sql, id: Id<'msg'>): Promise<Message | undefined> {
  const [row] = await sql<{ document: Message; fullText: string | null; fullHtml: string | null }[]>`
    SELECT document, full_text AS "fullText", full_html AS "fullHtml" FROM messages WHERE id = ${uuidOf(id)}`;
  if (row === undefined) return undefined;
  const { document, fullText, fullHtml } = row;
  return {
    ...document,
    text: fullText ?? document.text,
    html: fullHtml ?? document.html,
    // A text too long to be kept beside its bytes stays cut.
    textTruncated: document.textTruncated && fullText === null && fullHtml === null,
  };
}

/**
 * Deletes the message, its texts and its bytes, all or nothing: the function of the database (see drizzle/) is one
 * statement to us. Its event stays and says that it was deleted; what was still to be sent fails. It never comes again: the
 * ledger keeps its key.
 *
 * @returns false if there is none.
 */
export async function deleteMessage(sql: Sql, id: Id<'msg'>): Promise<boolean> {
  const [row] = await sql<[{ isDeleted: boolean }]>`
    SELECT mailgress_delete_message(${uuidOf(id)}) AS "isDeleted"`;
  return row.isDeleted;
}
