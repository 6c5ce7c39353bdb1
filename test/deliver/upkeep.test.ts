import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { pino } from 'pino';
import postgres, { type Sql } from 'postgres';
import { createId, type Id, uuidOf } from '../../src/core/ids.ts';
import { startUpkeep } from '../../src/deliver/upkeep.ts';
import { type Database, openDatabase } from '../../src/store/database.ts';
import { deleteEndpoint, queueTestEvent } from '../../src/store/endpoints.ts';
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

async function pendingOf(endpointId: Id<'ep'>): Promise<number> {
  const [row] = await sql<[{ count: number }]>`
    SELECT count(*)::int FROM deliveries WHERE endpoint_id = ${uuidOf(endpointId)} AND status = 'pending'`;
  return row.count;
}

test('what was queued while its endpoint was being deleted does not stay pending', async (t) => {
  const kept = await addEndpoint(sql);
  const [late, crowded] = [await addEndpoint(sql), createId('ep')];
  await addDue(sql, kept, 3);
  await addDue(sql, late, 1);
  // The statement that queues has seen the endpoint, and waits; the deletion does not see what it queues.
  const slow = postgres(testDatabase.url, { max: 1, onnotice: () => {} });
  await slow`BEGIN`;
  await queueTestEvent(slow, late);
  assert.equal(await deleteEndpoint(sql, late), true);
  await slow`COMMIT`;
  await slow.end();
  assert.equal(await pendingOf(late), 1);
  // More than are deleted at once, and some that ended: these stay as a record.
  await addDue(sql, crowded, 6000);
  await sql`
    UPDATE deliveries SET status = 'failed' WHERE id IN (
      SELECT id FROM deliveries WHERE endpoint_id = ${uuidOf(crowded)} LIMIT 10)`;

  const upkeep = startUpkeep({
    database,
    log: pino({ level: 'silent' }),
    onDue: () => {},
    lookMs: 10,
    pruneMs: 20,
  });
  t.after(() => upkeep.stop());
  await waitUntil(
    'they are gone',
    async () => (await pendingOf(late)) === 0 && (await pendingOf(crowded)) === 0,
  );
  await upkeep.stop();
  assert.equal(await pendingOf(kept), 3);
  const [row] = await sql`SELECT count(*)::int FROM deliveries WHERE endpoint_id = ${uuidOf(crowded)}`;
  assert.equal(row?.count, 10);
});
