import { and, eq, isNull, or, sql } from 'drizzle-orm';
import { createId, type Id } from '../core/ids.ts';
import type { EventType } from '../core/resources.ts';
import type { Transaction } from './database.ts';
import { deliveries, endpoints, events } from './schema.ts';

/**
 * Appends an event that is not about a mail, and its deliveries, in the caller's transaction. Tell the dispatcher
 * once that has committed.
 *
 * @param exceptEndpoint hears nothing of it: an endpoint is not told that it was disabled itself.
 */
export async function appendEvent(
  tx: Transaction,
  event: {
    type: EventType;
    tenant: string;
    mailboxId: Id<'mbx'> | null;
    data: Record<string, unknown>;
    exceptEndpoint?: Id<'ep'>;
  },
): Promise<Id<'evt'>> {
  const { type, tenant, mailboxId, data, exceptEndpoint } = event;
  const id = createId('evt');
  await tx.insert(events).values({ id, type, tenant, mailboxId, data });
  const listeners = await tx
    .select({ id: endpoints.id })
    .from(endpoints)
    .where(
      and(
        endpoints.isEnabled,
        or(isNull(endpoints.tenant), eq(endpoints.tenant, tenant)),
        sql`${type} = ANY (${endpoints.types})`,
      ),
    );
  const told = listeners.filter((endpoint) => endpoint.id !== exceptEndpoint);
  if (told.length > 0) {
    await tx
      .insert(deliveries)
      .values(told.map((endpoint) => ({ id: createId('dlv'), endpointId: endpoint.id, eventId: id })));
  }
  return id;
}
