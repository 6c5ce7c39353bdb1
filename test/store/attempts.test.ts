import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import postgres, { type Sql } from 'postgres';
import { createId, uuidOf } from '../../src/core/ids.ts';
import { recordAttempts } from '../../src/store/attempts.ts';
import { claimDueDeliveries } from '../../src/store/claims.ts';
import { type Database, openDatabase } from '../../src/store/database.ts';
import { deleteMailbox } from '../../src/store/mailboxes.ts';
import { createTestDatabase } from '../support/database.ts';
import { addDue, addEndpoint } from '../support/deliveries.ts';
import { waitUntil } from '../support/embedded-place.ts';

let testDatabase: Awaited<ReturnType<typeof createTestDatabase>>;
let database: Database;
let sql: Sql;
before(async () => {
  testDatabase = await createTestDatabase();
  database = openDatabase(testDatabase.url);
  sql = database.hot;
});
after(async () => {
  await database.close();
  await testDatabase.drop();
});

async function countWaiting(statement: string): Promise<number> {
  const [row] = await database.probe<[{ count: number }]>`
    SELECT count(*)::int AS count FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE ${`%${statement}%`}
      AND pid <> pg_backend_pid()`;
  return row.count;
}

// A large mailbox takes long, and what waits for a lock looks for a ring of locks only once, after a second: the deletion,
// which closes the ring later, would be the one that is ended.
test('what consumers answer meanwhile does not end the deletion of a mailbox', async () => {
  const mailboxId = createId('mbx');
  await sql`INSERT INTO mailboxes (id, tenant, address) VALUES (${uuidOf(mailboxId)}, 'default', 'a@example.com')`;
  const endpointId = await addEndpoint(sql);
  await addDue(sql, endpointId, 2);
  await sql`UPDATE events SET mailbox_id = ${uuidOf(mailboxId)}`;
  const claim = { owner: randomUUID(), limit: 2, leaseMs: 90_000 };
  const { deliveries } = await claimDueDeliveries(sql, claim);
  // As the deletion comes to them.
  const events = await sql`SELECT 'evt_' || replace(id::text, '-', '') AS id FROM events ORDER BY ctid`;
  const [first, second] = events.map(({ id }) => deliveries.find(({ eventId }) => eventId === id));
  assert.ok(first !== undefined && second !== undefined);

  const holder = postgres(testDatabase.url, { max: 1 });
  const { deleting, recording } = await holder.begin(async (tx) => {
    // Deliveries have been deleted by then, and events not.
    await tx`SELECT FROM events WHERE id = ${uuidOf(first.eventId)} FOR UPDATE`;
    const deleting = deleteMailbox(database.sql, mailboxId);
    deleting.catch(() => {});
    await waitUntil(
      'the deletion is at the events',
      async () => (await countWaiting('delete_mailbox')) === 1,
    );
    const recording = recordAttempts(sql, [
      {
        attemptId: createId('att'),
        deliveryId: second.id,
        endpointId,
        owner: second.owner,
        fence: second.fence,
        startedAt: new Date(),
        durationMs: 1,
        statusCode: 200,
        errorCode: null,
        error: null,
        responseExcerpt: 'thanks',
        health: 'well',
        status: 'succeeded',
        delayMs: 0,
      },
    ]);
    recording.catch(() => {});
    await waitUntil('the record waits', async () => (await countWaiting('AS result (attempt_id')) === 1);
    await tx`SELECT pg_sleep(1.2)`;
    return { deleting, recording };
  });
  await holder.end();
  assert.equal(await deleting, true);
  assert.deepEqual(await recording, [{ isKept: false, isEndpointLost: false }]);
  assert.deepEqual([...(await sql`SELECT id FROM deliveries`)], []);
});
