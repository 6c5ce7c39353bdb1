import { and, asc, eq, isNull, lte, or, sql } from 'drizzle-orm';
import type { Id } from '../core/ids.ts';
import type { Attempt, Delivery, DeliveryStatus } from '../core/resources.ts';
import type { Drizzle } from './database.ts';
import { type Page, type PageRequest, pageOf, toPage } from './page.ts';
import { attempts, deliveries, events } from './schema.ts';

export async function listDeliveries(
  db: Drizzle,
  request: PageRequest & { endpointId?: Id<'ep'> | undefined; status?: DeliveryStatus | undefined },
): Promise<Page<Delivery>> {
  const page = pageOf(deliveries.id, request);
  const rows = await selectDeliveries(db)
    .where(
      and(
        page.where,
        request.endpointId === undefined ? undefined : eq(deliveries.endpointId, request.endpointId),
        request.status === undefined ? undefined : eq(deliveries.status, request.status),
      ),
    )
    .orderBy(page.orderBy)
    .limit(page.limit);
  return toPage(rows.map(toDelivery), request);
}

/** The delivery with its attempts, first one first. */
export async function findDelivery(
  db: Drizzle,
  id: Id<'dlv'>,
): Promise<(Delivery & { attempts: Attempt[] }) | undefined> {
  const [row] = await selectDeliveries(db).where(eq(deliveries.id, id));
  if (row === undefined) return undefined;
  const tried = await db
    .select()
    .from(attempts)
    .where(eq(attempts.deliveryId, id))
    .orderBy(asc(attempts.startedAt), asc(attempts.id));
  return {
    ...toDelivery(row),
    attempts: tried.map(({ deliveryId: _, startedAt, ...attempt }) => ({
      ...attempt,
      startedAt: startedAt.toISOString(),
    })),
  };
}

/**
 * Makes a delivery due now, whatever became of it. One that is under way is left to end.
 *
 * @returns false if there is none.
 */
export async function retryDelivery(db: Drizzle, id: Id<'dlv'>): Promise<boolean> {
  await db
    .update(deliveries)
    .set({ status: 'pending', nextAttemptAt: sql`now()`, leaseOwner: null, completedAt: null })
    .where(
      and(
        eq(deliveries.id, id),
        or(isNull(deliveries.leaseOwner), lte(deliveries.nextAttemptAt, sql`now()`)),
      ),
    );
  const [row] = await db.select({ id: deliveries.id }).from(deliveries).where(eq(deliveries.id, id));
  return row !== undefined;
}

function selectDeliveries(db: Drizzle) {
  return db
    .select({ delivery: deliveries, eventType: events.type })
    .from(deliveries)
    .innerJoin(events, eq(events.id, deliveries.eventId));
}

function toDelivery({ delivery, eventType }: Awaited<ReturnType<typeof selectDeliveries>>[number]): Delivery {
  const isWaiting = delivery.status === 'pending' && delivery.leaseOwner === null;
  return {
    id: delivery.id,
    endpointId: delivery.endpointId,
    eventId: delivery.eventId,
    eventType,
    messageId: eventType === 'message.received' ? delivery.eventId.replace('evt_', 'msg_') : null,
    status: delivery.status,
    attemptCount: delivery.attempts,
    nextAttemptAt: isWaiting ? delivery.nextAttemptAt.toISOString() : null,
    lastStatusCode: delivery.lastStatusCode,
    lastError: delivery.lastError,
    createdAt: delivery.createdAt.toISOString(),
    completedAt: delivery.completedAt?.toISOString() ?? null,
  };
}
