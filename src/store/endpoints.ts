import type { Fragment, Sql } from 'postgres';
import { createId, type Id, idOf, uuidOf } from '../core/ids.ts';
import type { Endpoint, EventType } from '../core/resources.ts';
import type { Rules } from '../core/rules.ts';
import type { Keyring } from '../core/sealed.ts';
import { createSecret } from '../core/signature.ts';
import { inPageOrder, isInPage, type Page, type PageRequest, toPage } from './page.ts';
import { NO_TENANT } from './scope.ts';
import { ROTATION_OVERLAP_MS, sealHeaders, secretContext } from './secrets.ts';
import { releaseHeld } from './verdicts.ts';

export type EndpointSettings = {
  url: string;
  tenant: string | null;
  description: string;
  types: EventType[];
  rules: Rules;
  order: 'mailbox' | null;
  maxInFlight: number;
  ratePerSecond: number | null;
  headers: Record<string, string>;
};

export type EndpointChange = {
  [Name in Exclude<keyof EndpointSettings, 'tenant'>]?: EndpointSettings[Name] | undefined;
};

/** @returns the endpoint and its signing secret, which no later call answers. */
export async function createEndpoint(
  sql: Sql,
  keyring: Keyring,
  settings: EndpointSettings,
): Promise<{ endpoint: Endpoint; secret: string }> {
  const id = createId('ep');
  const secret = createSecret();
  const [row] = await sql<[EndpointRow]>`
    INSERT INTO endpoints (id, url, tenant, description, types, rules, "order", max_in_flight, rate_per_second,
                           headers, header_names, secret)
    VALUES (${uuidOf(id)}, ${settings.url}, ${settings.tenant}, ${settings.description}, ${settings.types},
            ${JSON.stringify(settings.rules)}::text::jsonb, ${settings.order}, ${settings.maxInFlight},
            ${settings.ratePerSecond}, ${sealHeaders(keyring, id, settings.headers)},
            ${Object.keys(settings.headers)}, ${keyring.seal(secret, secretContext(id))})
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

/**
 * Changes what is given. New rules hold for what still waits: what the old ones held is judged again at once. With another
 * order, what waits is put into lanes, or taken out of them.
 *
 * @returns undefined if there is none.
 */
export async function updateEndpoint(
  sql: Sql,
  keyring: Keyring,
  id: Id<'ep'>,
  change: EndpointChange,
): Promise<Endpoint | undefined> {
  const { url, description, types, rules, order, maxInFlight, ratePerSecond, headers } = change;
  const changed = {
    ...(url !== undefined && { url }),
    ...(description !== undefined && { description }),
    ...(types !== undefined && { types }),
    ...(rules !== undefined && { rules: sql.json(rules) }),
    ...(order !== undefined && { order }),
    ...(maxInFlight !== undefined && { max_in_flight: maxInFlight }),
    ...(ratePerSecond !== undefined && { rate_per_second: ratePerSecond, paced_until: null }),
    ...(headers !== undefined && {
      headers: sealHeaders(keyring, id, headers),
      header_names: Object.keys(headers),
    }),
  };
  if (Object.keys(changed).length === 0) return findEndpoint(sql, id);
  const [row] = await sql<EndpointRow[]>`
    UPDATE endpoints SET ${sql(changed)} ${url === undefined ? sql`` : forgetFailures(sql, url)}
    WHERE id = ${uuidOf(id)} RETURNING ${columns(sql)}`;
  if (row === undefined) return undefined;
  if (order !== undefined) await moveIntoLanes(sql, id, order);
  // After the change is committed; see `recordVerdicts`.
  if (rules !== undefined || types !== undefined) await releaseHeld(sql, id);
  return toEndpoint(row);
}

/** What the program at the old URL did says nothing of the one at the new. Many set all that they have, again and again. */
function forgetFailures(sql: Sql, url: string): Fragment {
  return sql`,
    failing_since = CASE WHEN url = ${url} THEN failing_since END,
    recent_failures = CASE WHEN url = ${url} THEN recent_failures ELSE 0 END,
    recent_failures_since = CASE WHEN url = ${url} THEN recent_failures_since END`;
}

/** Gives what waits a lane, or takes it out of its lane; what is parked there is due then. */
async function moveIntoLanes(sql: Sql, id: Id<'ep'>, order: 'mailbox' | null): Promise<void> {
  await sql`
    UPDATE deliveries SET
      lane = CASE WHEN ${order === 'mailbox'} AND events.type = 'message.received' THEN events.mailbox_id END,
      next_attempt_at = CASE WHEN next_attempt_at = 'infinity' THEN now() ELSE next_attempt_at END
    FROM events
    WHERE events.id = event_id AND endpoint_id = ${uuidOf(id)} AND status = 'pending'
      AND (lane IS NOT NULL) <> ${order === 'mailbox'}`;
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

/** So many at a time keep within the deadline of a statement. */
const MOST_AT_ONCE = 5000;

/**
 * Deletes pending deliveries whose endpoint is gone: a statement that began before `deleteEndpoint` may have made some after it.
 * One probe of the index of what is pending for each endpoint, and a part of what it finds: call again until it answers 0.
 */
export async function deletePendingOfNoEndpoint(sql: Sql): Promise<number> {
  const rows = await sql`
    WITH RECURSIVE waiting AS (
      (SELECT endpoint_id FROM deliveries WHERE status = 'pending' ORDER BY endpoint_id LIMIT 1)
      UNION ALL
      SELECT next.endpoint_id FROM waiting CROSS JOIN LATERAL (
        SELECT endpoint_id FROM deliveries
        WHERE status = 'pending' AND endpoint_id > waiting.endpoint_id
        ORDER BY endpoint_id LIMIT 1
      ) next
    ), gone AS (
      SELECT endpoint_id FROM waiting WHERE NOT EXISTS (SELECT FROM endpoints WHERE endpoints.id = endpoint_id)
    )
    DELETE FROM deliveries WHERE status = 'pending' AND id IN (
      SELECT of_it.id FROM gone CROSS JOIN LATERAL (
        SELECT id FROM deliveries
        WHERE endpoint_id = gone.endpoint_id AND status = 'pending'
        LIMIT ${MOST_AT_ONCE}
      ) of_it
      LIMIT ${MOST_AT_ONCE}
    )
    RETURNING id`;
  return rows.length;
}

/**
 * Makes a new secret; for another day each webhook is signed with the one before as well. So it is when there are several rotations
 * within that day, since an answer may be lost and the call repeated: of the secrets before, the newest four sign.
 */
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
      older_secrets = CASE WHEN previous_secret_until > now() THEN jsonb_path_query_array(
        jsonb_build_array(jsonb_build_object(
          'sealed', encode(previous_secret, 'hex'), 'until', previous_secret_until)) || older_secrets,
        '$[0 to 2]') ELSE '[]' END,
      previous_secret_until = now() + ${ROTATION_OVERLAP_MS}::int * interval '1 millisecond'
    WHERE id = ${uuidOf(id)}
    RETURNING ${columns(sql)}`;
  return row && { endpoint: toEndpoint(row), secret };
}

/**
 * Takes deliveries again, first what is pending: what waits for its next try is due at once. Safe to repeat.
 *
 * That is made due before the endpoint is enabled: then nothing that fails anew is among it, and nothing new is before it.
 */
export async function enableEndpoint(sql: Sql, id: Id<'ep'>): Promise<Endpoint | undefined> {
  const [clock] = await sql<[{ now: Date }]>`SELECT now()`;
  while ((await endWaits(sql, id, clock.now)) > 0);
  const [row] = await sql<EndpointRow[]>`
    UPDATE endpoints SET is_enabled = true, disabled_reason = NULL,
      failing_since = NULL, recent_failures = 0, recent_failures_since = NULL
    WHERE id = ${uuidOf(id)}
    RETURNING ${columns(sql)}`;
  return row && toEndpoint(row);
}

/**
 * Makes due what a disabled endpoint failed to take and was to be tried later. All of it at one time, so that the oldest is first. Not
 * what rules hold, nor what is parked in a lane. A part of it: call again until it answers 0.
 */
async function endWaits(sql: Sql, id: Id<'ep'>, at: Date): Promise<number> {
  const rows = await sql`
    UPDATE deliveries SET next_attempt_at = ${at}
    WHERE id IN (
      SELECT deliveries.id FROM deliveries JOIN endpoints ON endpoints.id = endpoint_id AND NOT is_enabled
      WHERE endpoint_id = ${uuidOf(id)} AND status = 'pending' AND next_attempt_at > now() AND next_attempt_at < 'infinity'
        AND attempts > 0 AND rule IS NULL AND lease_owner IS NULL
      ORDER BY next_attempt_at LIMIT ${MOST_AT_ONCE}
    ) AND status = 'pending' AND lease_owner IS NULL
    RETURNING id`;
  return rows.length;
}

/**
 * Stops all deliveries to the endpoint, keeping what is pending, and tells the other endpoints of its tenant.
 *
 * @param url of whom this was learned: an endpoint that has another by now is left as it is.
 * @returns undefined if there is none. Of one that is disabled already, the endpoint, without a second event.
 */
export async function disableEndpoint(
  sql: Sql,
  id: Id<'ep'>,
  reason: string,
  url?: string,
): Promise<Endpoint | undefined> {
  const before = await findEndpoint(sql, id);
  if (before === undefined || !before.enabled) return before;
  if (url !== undefined && before.url !== url) return before;
  const endpoint: Endpoint = { ...before, enabled: false, disabledReason: reason };
  await sql`
    WITH disabled AS (
      UPDATE endpoints SET is_enabled = false, disabled_reason = ${reason}
      WHERE id = ${uuidOf(id)} AND is_enabled AND url = coalesce(${url ?? null}::text, url)
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
): Promise<{ eventId: Id<'evt'>; deliveryId: Id<'dlv'> } | undefined> {
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

type EndpointRow = Omit<Endpoint, 'createdAt' | 'failingSince'> & {
  createdAt: Date;
  failingSince: Date | null;
};

function columns(sql: Sql) {
  return sql`id, tenant, url, description, types, rules, "order", max_in_flight AS "maxInFlight",
             rate_per_second AS "ratePerSecond", header_names AS "headerNames", is_enabled AS enabled,
             disabled_reason AS "disabledReason", failing_since AS "failingSince", created_at AS "createdAt"`;
}

function toEndpoint({ id, createdAt, failingSince, ...row }: EndpointRow): Endpoint {
  return {
    id: idOf('ep', id),
    ...row,
    failingSince: failingSince?.toISOString() ?? null,
    createdAt: createdAt.toISOString(),
  };
}
