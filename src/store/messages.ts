import { promisify } from 'node:util';
import { zstdDecompress } from 'node:zlib';
import { and, eq, sql } from 'drizzle-orm';
import type { Id } from '../core/ids.ts';
import { type Message, type MessageSummary, messageSummarySchema, type Placement } from '../core/message.ts';
import type { Drizzle } from './database.ts';
import { type Page, type PageRequest, pageOf, toPage } from './page.ts';
import { messages, rawMails } from './schema.ts';

const decompress = promisify(zstdDecompress);

export async function listMessages(
  db: Drizzle,
  request: PageRequest & {
    mailboxId?: Id<'mbx'> | undefined;
    placement?: Placement | undefined;
    from?: string | undefined;
  },
): Promise<Page<MessageSummary>> {
  const page = pageOf(messages.id, request);
  const rows = await db
    .select({
      // Cut out in the database: 500 messages may hold 512 KiB of text each.
      summary: sql<MessageSummary>`${messages.document}::jsonb - '{text,html,headers}'::text[]`,
    })
    .from(messages)
    .where(
      and(
        page.where,
        request.mailboxId === undefined ? undefined : eq(messages.mailboxId, request.mailboxId),
        request.placement === undefined ? undefined : eq(messages.placement, request.placement),
        request.from === undefined
          ? undefined
          : sql`lower(${messages.fromAddress}) = ${request.from.toLowerCase()}`,
      ),
    )
    .orderBy(page.orderBy)
    .limit(page.limit);
  return toPage(
    rows.map((row) => inPublishedOrder(row.summary)),
    request,
  );
}

/** jsonb forgets the order of keys. */
function inPublishedOrder(summary: MessageSummary): MessageSummary {
  return Object.assign(
    Object.fromEntries(Object.keys(messageSummarySchema.shape).map((key) => [key, undefined])),
    summary,
  );
}

/** The whole message: text and html uncut. */
export async function findMessage(db: Drizzle, id: Id<'msg'>): Promise<Message | undefined> {
  const [row] = await db
    .select({
      document: sql<Message>`${messages.document}`,
      fullText: messages.fullText,
      fullHtml: messages.fullHtml,
    })
    .from(messages)
    .where(eq(messages.id, id));
  if (row === undefined) return undefined;
  return {
    ...row.document,
    text: row.fullText ?? row.document.text,
    html: row.fullHtml ?? row.document.html,
    textTruncated: false,
  };
}

/** The mail as it came, byte for byte (of a truncated one its header block); undefined if it is not kept (any more). */
export async function findRawMail(db: Drizzle, id: Id<'msg'>): Promise<Uint8Array | undefined> {
  const [row] = await db.select().from(rawMails).where(eq(rawMails.messageId, id));
  return row?.isCompressed ? decompress(row.bytes) : row?.bytes;
}

export async function hasMessage(db: Drizzle, id: Id<'msg'>): Promise<boolean> {
  const rows = await db.select({ id: messages.id }).from(messages).where(eq(messages.id, id));
  return rows.length > 0;
}
