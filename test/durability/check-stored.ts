import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { Sql } from 'postgres';
import { ADMIN_TOKEN } from '../support/service.ts';
import type { FlakyConsumer } from './flaky-consumer.ts';
import type { Load } from './load.ts';

/** So many mails, spread over the run, are compared with what was sent, byte for byte. */
const COMPARED = 200;

/** What must hold once the load has finished and all is delivered. */
export async function checkStored(run: {
  sql: Sql;
  address: string;
  load: Load;
  consumer: FlakyConsumer;
}): Promise<void> {
  const { sql, address, load, consumer } = run;
  const ackedIds = [...load.acked.values()].map(({ messageId }) => messageId);
  assert.equal(new Set(ackedIds).size, ackedIds.length, 'no two mails are one message');

  const stored = await sql<{ id: string }[]>`SELECT 'msg_' || replace(id::text, '-', '') AS id FROM messages`;
  assert.deepEqual(
    stored.map(({ id }) => id).sort(),
    ackedIds.toSorted(),
    'each acked mail is there, and once',
  );

  const [halves] = await sql`
    SELECT
      (SELECT count(*)::int FROM messages LEFT JOIN raw_mails ON message_id = id WHERE message_id IS NULL) AS "noBytes",
      (SELECT count(*)::int FROM messages LEFT JOIN events USING (id) WHERE events.id IS NULL) AS "noEvent",
      (SELECT count(*)::int FROM raw_mails LEFT JOIN messages ON id = message_id WHERE id IS NULL) AS "onlyBytes",
      (SELECT count(*)::int FROM events LEFT JOIN messages USING (id) WHERE messages.id IS NULL) AS "onlyEvent",
      (SELECT count(*)::int FROM messages FULL JOIN dedupe_ledger ON message_id = id
       WHERE id IS NULL OR message_id IS NULL) AS "ledger",
      (SELECT count(*)::int FROM events FULL JOIN deliveries ON event_id = events.id
       WHERE events.id IS NULL OR deliveries.status IS DISTINCT FROM 'succeeded') AS "undelivered",
      (SELECT count(*)::int FROM gaps) AS "gaps"`;
  const none = { noBytes: 0, noEvent: 0, onlyBytes: 0, onlyEvent: 0, ledger: 0, undelivered: 0, gaps: 0 };
  assert.deepEqual({ ...halves }, none, 'nothing is half there');

  const delivered = [...consumer.messages].map(([id, { webhookIds, isTaken }]) => ({
    id,
    webhookIds: [...webhookIds],
    isTaken,
  }));
  const expected = ackedIds.map((id) => ({ id, webhookIds: [id.replace('msg_', 'evt_')], isTaken: true }));
  const byId = (a: { id: string }, b: { id: string }) => (a.id < b.id ? -1 : 1);
  assert.deepEqual(delivered.sort(byId), expected.sort(byId), 'each event came, under one id, and was taken');

  const step = Math.ceil(load.acked.size / COMPARED);
  for (const { messageId, sha256 } of [...load.acked.values()].filter((_, index) => index % step === 0)) {
    const response = await fetch(`${address}/v1/messages/${messageId}/raw`, {
      headers: { authorization: `Bearer ${ADMIN_TOKEN}` },
    });
    const bytes = Buffer.from(await response.arrayBuffer());
    assert.equal(createHash('sha256').update(bytes).digest('hex'), sha256, `the bytes of ${messageId}`);
  }
}
