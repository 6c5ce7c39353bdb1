import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { query, waitUntil } from '../support/embedded-place.ts';
import { ADMIN_TOKEN, startTestService, type TestService } from '../support/service.ts';

/*
 * A standby that takes over lacks the last transactions: a reader can come back with a place that the log has not come to,
 * before anybody has looked whether it goes on from an earlier point.
 */

let service: TestService;
before(async () => {
  service = await startTestService({ dispatch: false });
});
after(() => service.dispose());

/** @returns the place of a reader who saw what is lost. */
async function takeOver(): Promise<string> {
  const [end] = await query(
    service.databaseUrl,
    'SELECT mailgress_place(pg_snapshot_xmax(pg_current_snapshot()))::text AS xid',
  );
  await query(service.databaseUrl, 'UPDATE feed_cluster SET timeline = timeline + 1');
  return Buffer.from(`${BigInt(end?.xid) + 1000n}.${'0'.repeat(32)}`).toString('base64url');
}

const append = (n: number) =>
  query(
    service.databaseUrl,
    `INSERT INTO events (id, type, tenant, data) VALUES (mailgress_uuidv7(), 'source.silent', 'default', '{"n": ${n}}')`,
  );

test('a reader of pages goes on where he was', async () => {
  const place = await takeOver();
  const first = await service.api('GET', `/v1/events?after=${place}`);
  assert.deepEqual([first.status, first.body.data], [200, []]);
  await append(1);
  await waitUntil('it is read', async () => {
    const { body } = await service.api('GET', `/v1/events?after=${place}`);
    return body.data[0]?.data.n === 1;
  });
});

test('a reader of the stream goes on where he was', async () => {
  const place = await takeOver();
  const response = await fetch(`${service.address}/v1/events/stream`, {
    headers: { authorization: `Bearer ${ADMIN_TOKEN}`, 'last-event-id': place },
  });
  assert.equal(response.status, 200);
  await response.body?.cancel();
});
