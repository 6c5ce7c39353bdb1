import { and, eq, sql } from 'drizzle-orm';
import { createId, type Id } from '../core/ids.ts';
import { type Endpoint, type EventType, eventTypeSchema } from '../core/resources.ts';
import type { Keyring } from '../core/sealed.ts';
import { createSecret } from '../core/signature.ts';
import type { Database, Drizzle } from './database.ts';
import { appendEvent } from './events.ts';
import { type Page, type PageRequest, pageOf, toPage } from './page.ts';
import { deliveries, endpoints, events } from './schema.ts';
import { ROTATION_OVERLAP_MS, secretContext } from './secrets.ts';

export type EndpointSettings = {
  url: string;
  tenant: string | null;
  description: string;
  types: EventType[];
  maxInFlight: number;
};

/** @returns the endpoint and its signing secret, which no later call answers. */
export async function createEndpoint(
  db: Drizzle,
  keyring: Keyring,
  settings: EndpointSettings,
): Promise<{ endpoint: Endpoint; secret: string }> {
  const id = createId('ep');
  const secret = createSecret();
  const rows = await db
    .insert(endpoints)
    .values({ id, ...settings, secret: keyring.seal(secret, secretContext(id)) })
    .returning();
  const [endpoint] = rows.map(toEndpoint);
  if (endpoint === undefined) throw new Error('an insert answered no row');
  return { endpoint, secret };
}

export async function listEndpoints(db: Drizzle, request: PageRequest): Promise<Page<Endpoint>> {
  const page = pageOf(endpoints.id, request);
  const rows = await db.select().from(endpoints).where(page.where).orderBy(page.orderBy).limit(page.limit);
  return toPage(rows.map(toEndpoint), request);
}

export async function findEndpoint(db: Drizzle, id: Id<'ep'>): Promise<Endpoint | undefined> {
  const [row] = await db.select().from(endpoints).where(eq(endpoints.id, id));
  return row && toEndpoint(row);
}

/** Deletes the endpoint and its pending deliveries; those that ended stay as a record until retention takes them. */
export function deleteEndpoint(database: Database, id: Id<'ep'>): Promise<boolean> {
  return database.transaction(async (tx) => {
    const gone = await tx.delete(endpoints).where(eq(endpoints.id, id)).returning({ id: endpoints.id });
    if (gone.length === 0) return false;
    await tx.delete(deliveries).where(and(eq(deliveries.endpointId, id), eq(deliveries.status, 'pending')));
    return true;
  });
}

/** Makes a new secret; for another day each webhook is signed with both. */
export async function rotateEndpointSecret(
  db: Drizzle,
  keyring: Keyring,
  id: Id<'ep'>,
): Promise<{ endpoint: Endpoint; secret: string } | undefined> {
  const secret = createSecret();
  const rows = await db
    .update(endpoints)
    .set({
      secret: keyring.seal(secret, secretContext(id)),
      previousSecret: sql`${endpoints.secret}`,
      previousSecretUntil: new Date(Date.now() + ROTATION_OVERLAP_MS),
    })
    .where(eq(endpoints.id, id))
    .returning();
  const [endpoint] = rows.map(toEndpoint);
  return endpoint && { endpoint, secret };
}

/** Takes deliveries again; what is pending goes on. */
export async function enableEndpoint(db: Drizzle, id: Id<'ep'>): Promise<Endpoint | undefined> {
  const [row] = await db
    .update(endpoints)
    .set({ isEnabled: true, disabledReason: null })
    .where(eq(endpoints.id, id))
    .returning();
  return row && toEndpoint(row);
}

/**
 * Stops all deliveries to the endpoint, keeping what is pending, and tells the other endpoints of its tenant.
 *
 * @returns undefined if there is none. Of one that is disabled already, the endpoint, without a second event.
 */
export function disableEndpoint(
  database: Database,
  id: Id<'ep'>,
  reason: string,
): Promise<Endpoint | undefined> {
  return database.transaction(async (tx) => {
    const [row] = await tx
      .update(endpoints)
      .set({ isEnabled: false, disabledReason: reason })
      .where(and(eq(endpoints.id, id), endpoints.isEnabled))
      .returning();
    if (row === undefined) {
      const [same] = await tx.select().from(endpoints).where(eq(endpoints.id, id));
      return same && toEndpoint(same);
    }
    const endpoint = toEndpoint(row);
    await appendEvent(tx, {
      type: 'endpoint.disabled',
      tenant: row.tenant ?? 'default',
      mailboxId: null,
      data: { endpoint, reason },
      exceptEndpoint: id,
    });
    return endpoint;
  });
}

/**
 * Queues an `endpoint.test` event for this endpoint alone.
 *
 * @returns the delivery to watch; undefined if there is no such endpoint.
 */
export function queueTestEvent(
  database: Database,
  id: Id<'ep'>,
): Promise<{ eventId: string; deliveryId: string } | undefined> {
  return database.transaction(async (tx) => {
    const [row] = await tx.select().from(endpoints).where(eq(endpoints.id, id));
    if (row === undefined) return undefined;
    const eventId = createId('evt');
    const deliveryId = createId('dlv');
    await tx.insert(events).values({
      id: eventId,
      type: 'endpoint.test',
      tenant: row.tenant ?? 'default',
      data: { endpoint: toEndpoint(row) },
    });
    await tx.insert(deliveries).values({ id: deliveryId, endpointId: id, eventId });
    return { eventId, deliveryId };
  });
}

function toEndpoint(row: typeof endpoints.$inferSelect): Endpoint {
  return {
    id: row.id,
    tenant: row.tenant,
    url: row.url,
    description: row.description,
    types: row.types.map((type) => eventTypeSchema.parse(type)),
    maxInFlight: row.maxInFlight,
    enabled: row.isEnabled,
    disabledReason: row.disabledReason,
    createdAt: row.createdAt.toISOString(),
  };
}
