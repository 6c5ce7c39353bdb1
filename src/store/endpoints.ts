import type { Sql } from 'postgres';
import { createId, type Id, idOf, uuidOf } from '../core/ids.ts';
import type { Endpoint, EventType } from '../core/resources.ts';
import type { Keyring } from '../core/sealed.ts';
import { createSecret } from '../core/signature.ts';
import { inPageOrder, isInPage, type Page, type PageRequest, toPage } from './page.ts';
import { NO_TENANT } from './scope.ts';
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
  sql: Sql,
  keyring: Keyring,
  { url, tenant, description, types, maxInFlight }: EndpointSettings,
): Promise<{ endpoint: Endpoint; secret: string }> {
  const id = createId('ep');
  const secret = createSecret();
  const [row] = await sql<[EndpointRow]>`
    INSERT INTO endpoints (id, url, tenant, description, types, max_in_flight, secret)
    VALUES (${uuidOf(id)}, ${url}, ${tenant}, ${description}, ${types}, ${maxInFlight},
            ${keyring.seal(secret, secretContext(id))})
    RETURNING ${columns(sql)}`;
  return { endpoint: toEndpoint(row), secret };
}

export async function listEndpoints(sql: Sql, request: PageRequest): Promise<Page<Endpoint>> {
  const rows = await sql<EndpointRow[]>`
    SELECT ${columns(sql)} FROM endpoints 
    WHERE ${isInPage(sql, { id: 'id', tenant: 'tenant' }, request)} ${inPageOrder(sql, 'id', request)}`;
  return toPage(rows.map(toEndpoint), request);
}

export async function findEndpoint(sql: Sql, id: Id<'ep'>): Promise<Endpoint | undefined> {
  const [row] = await sql<EndpointRow[]>`SELECT ${columns(sql)} FROM endpoints WHERE id = ${uuidOf(id)}`;
  return row && toEndpoint(row);
}

/** Deletes the endpoint and its pending deliveries; those that ended stay as a record until retention takes them. */
export async function deleteEndpoint(sql: Sql, id: Id<'ep'>): Promise<boolean> {
  const rows = await sql`
    WITH pending AS (
      DELETE FROM deliveries WHERE endpoint_id = ${uuidOf(id)} AND status = 'pending'
    )
    DELETE FROM endpoints WHERE id = ${uuidOf(id)} RETURNING id`;
  return rows.length > 0;
}

/** Makes a new secret; for another day each webhook is signed with both. */
export async function rotateEndpointSecret(
  sql: Sql,
  keyring: Keyring,
  id: Id<'ep'>,
): Promise<{ endpoint: Endpoint; secret: string } | undefined> {
  const secret = createSecret();
  const [row] = await sql<EndpointRow[]>`
    UPDATE endpoints SET
      secret = ${keyring.seal(secret, secretContext(id))},
      previous_secret = secret,
      previous_secret_until = now() + ${ROTATION_OVERLAP_MS}::int * interval '1 millisecond'
    WHERE id = ${uuidOf(id)}
    RETURNING ${columns(sql)}`;
  return row && { endpoint: toEndpoint(row), secret };
}

/** Takes deliveries again; what is pending goes on. */
export async function enableEndpoint(sql: Sql, id: Id<'ep'>): Promise<Endpoint | undefined> {
  const [row] = await sql<EndpointRow[]>`
    UPDATE endpoints SET is_enabled = true, disabled_reason = NULL WHERE id = ${uuidOf(id)}
    RETURNING ${columns(sql)}`;
  return row && toEndpoint(row);
}

/**
 * Stops all deliveries to the endpoint, keeping what is pending, and tells the other endpoints of its tenant.
 *
 * @returns undefined if there is none. Of one that is disabled already, the endpoint, without a second event.
 */
export async function disableEndpoint(sql: Sql, id: Id<'ep'>, reason: string): Promise<Endpoint | undefined> {
  const before = await findEndpoint(sql, id);
  if (before === undefined || !before.enabled) return before;
  const endpoint: Endpoint = { ...before, enabled: false, disabledReason: reason };
  await sql`
    WITH disabled AS (
      UPDATE endpoints SET is_enabled = false, disabled_reason = ${reason}
      WHERE id = ${uuidOf(id)} AND is_enabled
      RETURNING id, coalesce(tenant, ${NO_TENANT}) AS tenant
    ), logged AS (
      INSERT INTO events (id, type, tenant, data)
      SELECT ${uuidOf(createId('evt'))}, 'endpoint.disabled', tenant, ${JSON.stringify({ endpoint, reason })}::text::json
      FROM disabled
      RETURNING id, type, tenant
    )
    INSERT INTO deliveries (id, endpoint_id, event_id)
    SELECT mailgress_uuidv7(), endpoints.id, logged.id
    FROM logged JOIN endpoints
      ON endpoints.is_enabled AND endpoints.id <> ${uuidOf(id)}
     AND (endpoints.tenant IS NULL OR endpoints.tenant = logged.tenant) AND logged.type = ANY (endpoints.types)`;
  return endpoint;
}

/**
 * Queues an `endpoint.test` event for this endpoint alone.
 *
 * @returns the delivery to watch; undefined if there is no such endpoint.
 */
export async function queueTestEvent(
  sql: Sql,
  id: Id<'ep'>,
): Promise<{ eventId: string; deliveryId: string } | undefined> {
  const endpoint = await findEndpoint(sql, id);
  if (endpoint === undefined) return undefined;
  const eventId = createId('evt');
  const deliveryId = createId('dlv');
  await sql`
    WITH logged AS (
      INSERT INTO events (id, type, tenant, data)
      VALUES (${uuidOf(eventId)}, 'endpoint.test', ${endpoint.tenant ?? NO_TENANT},
              ${JSON.stringify({ endpoint })}::text::json)
      RETURNING id
    )
    INSERT INTO deliveries (id, endpoint_id, event_id)
    SELECT ${uuidOf(deliveryId)}, ${uuidOf(id)}, id FROM logged`;
  return { eventId, deliveryId };
}

type EndpointRow = Omit<Endpoint, 'createdAt'> & { createdAt: Date };

function columns(sql: Sql) {
  return sql`id, tenant, url, description, types, max_in_flight AS "maxInFlight", is_enabled AS enabled,
             disabled_reason AS "disabledReason", created_at AS "createdAt"`;
}

function toEndpoint({ id, createdAt, ...row }: EndpointRow): Endpoint {
  return { id: idOf('ep', id), ...row, createdAt: createdAt.toISOString() };
}
