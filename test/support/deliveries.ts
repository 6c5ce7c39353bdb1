import assert from 'node:assert/strict';
import type { Sql } from 'postgres';
import { createId, type Id, idOf, uuidOf } from '../../src/core/ids.ts';
import { type Consumer, startConsumer } from './consumer.ts';
import { waitUntil } from './embedded-place.ts';
import type { Answer, TestService } from './service.ts';

/** An endpoint that nobody can be called at, straight into the table. */
export async function addEndpoint(sql: Sql, { maxInFlight = 256, isEnabled = true } = {}): Promise<Id<'ep'>> {
  const id = createId('ep');
  await sql`INSERT INTO endpoints (id, url, types, secret, max_in_flight, is_enabled)
    VALUES (${uuidOf(id)}, 'https://consumer.example', '{message.received}', '', ${maxInFlight}, ${isEnabled})`;
  return id;
}

/**
 * Deliveries straight into the table, so that no dispatcher is told; each is due a millisecond after the one before
 * it, by default all by now.
 *
 * @returns their ids in that order.
 */
export async function addDue(
  sql: Sql,
  endpoint: Id<'ep'>,
  count: number,
  { dueInMs = -count } = {},
): Promise<Id<'dlv'>[]> {
  const rows = await sql<{ id: string }[]>`
    WITH made AS (
      SELECT mailgress_uuidv7() AS event_id, mailgress_uuidv7() AS id, i FROM generate_series(1, ${count}::int) i
    ), logged AS (
      INSERT INTO events (id, type, tenant, data) SELECT event_id, 'endpoint.test', 'default', '{}' FROM made
    )
    INSERT INTO deliveries (id, endpoint_id, event_id, next_attempt_at)
    SELECT id, ${uuidOf(endpoint)}::uuid, event_id, now() + (${dueInMs}::int + i) * interval '1 millisecond'
    FROM made
    ORDER BY i
    RETURNING id`;
  return rows.map(({ id }) => idOf('dlv', id));
}

/** What the passing of time does: makes a delivery due now, and tells the dispatchers. */
export async function makeDue(sql: Sql, id: string): Promise<void> {
  await sql`UPDATE deliveries SET next_attempt_at = now() WHERE id = ${id.slice('dlv_'.length)}`;
  await sql`SELECT pg_notify('mailgress_deliveries', '')`;
}

/** An endpoint at a consumer that answers as told; both are gone when the test leaves the scope. */
export async function addConsumer(
  service: TestService,
  answer?: Parameters<typeof startConsumer>[0],
  settings: Record<string, unknown> = {},
): Promise<Consumer & { id: Id<'ep'>; secret: string }> {
  const consumer = await startConsumer(answer);
  const { body: endpoint } = await service.api('POST', '/v1/endpoints', { url: consumer.url, ...settings });
  return {
    ...consumer,
    id: endpoint.id,
    secret: endpoint.secret,
    async [Symbol.asyncDispose]() {
      await service.api('DELETE', `/v1/endpoints/${endpoint.id}`);
      await consumer.close();
    },
  };
}

/** The endpoint's only delivery with its attempts, once `attempts` of these are recorded. */
export async function deliveryAfter(
  service: TestService,
  endpointId: string,
  attempts: number,
): Promise<Answer['body']> {
  let delivery: Answer['body'];
  await waitUntil(`${attempts} attempts are recorded`, async () => {
    const { body } = await service.api('GET', `/v1/deliveries?endpoint=${endpointId}`);
    assert.ok(body.data.length <= 1);
    delivery = body.data[0];
    return delivery?.attemptCount >= attempts;
  });
  return (await service.api('GET', `/v1/deliveries/${delivery.id}`)).body;
}
