import { and, eq, inArray, isNotNull, sql } from 'drizzle-orm';
import { MailgressError } from '../core/errors.ts';
import { createId, type Id } from '../core/ids.ts';
import type { Mailbox } from '../core/resources.ts';
import type { Database, Drizzle } from './database.ts';
import { type Page, type PageRequest, pageOf, toPage } from './page.ts';
import { attempts, dedupeLedger, deliveries, events, mailboxes, messages, rawMails } from './schema.ts';
import { isUniqueViolation } from './unavailable.ts';

/** @throws MailgressError `conflict` when the tenant already watches the address (compared without case). */
export async function createMailbox(
  db: Drizzle,
  given: { tenant: string; address: string },
): Promise<Mailbox> {
  try {
    const [row] = await db
      .insert(mailboxes)
      .values({ id: createId('mbx'), ...given })
      .returning();
    if (row === undefined) throw new MailgressError('internal', 'An insert answered no row');
    return toMailbox(row);
  } catch (error) {
    if (!isUniqueViolation(error)) throw error;
    throw new MailgressError(
      'conflict',
      `Tenant ${given.tenant} already has a mailbox with the address ${given.address}`,
    );
  }
}

export async function listMailboxes(db: Drizzle, request: PageRequest): Promise<Page<Mailbox>> {
  const page = pageOf(mailboxes.id, request);
  const rows = await db.select().from(mailboxes).where(page.where).orderBy(page.orderBy).limit(page.limit);
  return toPage(rows.map(toMailbox), request);
}

export async function findMailbox(db: Drizzle, id: Id<'mbx'>): Promise<Mailbox | undefined> {
  const [row] = await db.select().from(mailboxes).where(eq(mailboxes.id, id));
  return row && toMailbox(row);
}

/** Changes the address; what is stored keeps the one it came under. */
export async function updateMailbox(
  db: Drizzle,
  id: Id<'mbx'>,
  change: { address: string },
): Promise<Mailbox | undefined> {
  try {
    const [row] = await db.update(mailboxes).set(change).where(eq(mailboxes.id, id)).returning();
    return row && toMailbox(row);
  } catch (error) {
    if (!isUniqueViolation(error)) throw error;
    throw new MailgressError('conflict', `Another mailbox of this tenant has the address ${change.address}`);
  }
}

/**
 * Deletes the mailbox and all that came through it: sources, messages, raw mail, events, deliveries, ledger.
 *
 * @returns false if there is none.
 */
export function deleteMailbox(database: Database, id: Id<'mbx'>): Promise<boolean> {
  return database.transaction(async (tx) => {
    // The row first: this waits for flushes that hold it, and those that come after find it gone. What they stored
    // is seen by the statements below, each of which takes a snapshot of its own.
    const gone = await tx.delete(mailboxes).where(eq(mailboxes.id, id)).returning({ id: mailboxes.id });
    if (gone.length === 0) return false;
    const itsMessages = tx
      .select({ id: sql`${messages.id}` })
      .from(messages)
      .where(eq(messages.mailboxId, id));
    const itsOtherEvents = tx
      .select({ id: sql`${events.id}` })
      .from(events)
      .where(and(eq(events.mailboxId, id), isNotNull(events.data)));
    for (const eventIds of [itsMessages, itsOtherEvents]) {
      const itsDeliveries = tx
        .select({ id: deliveries.id })
        .from(deliveries)
        .where(inArray(deliveries.eventId, eventIds));
      await tx.delete(attempts).where(inArray(attempts.deliveryId, itsDeliveries));
      await tx.delete(deliveries).where(inArray(deliveries.eventId, eventIds));
      await tx.delete(events).where(inArray(events.id, eventIds));
    }
    await tx.delete(rawMails).where(inArray(rawMails.messageId, itsMessages));
    await tx.delete(messages).where(eq(messages.mailboxId, id));
    await tx.delete(dedupeLedger).where(eq(dedupeLedger.mailboxId, id));
    return true;
  });
}

function toMailbox(row: typeof mailboxes.$inferSelect): Mailbox {
  return { id: row.id, tenant: row.tenant, address: row.address, createdAt: row.createdAt.toISOString() };
}
