import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { claimDueDeliveries } from '../../src/store/claims.ts';
import { type Database, openDatabase } from '../../src/store/database.ts';
import { findDelivery, retryDelivery } from '../../src/store/deliveries.ts';
import { recordVerdicts } from '../../src/store/verdicts.ts';
import { createTestDatabase } from '../support/database.ts';
import { addDue, addEndpoint } from '../support/deliveries.ts';

let database: Database;
let drop: () => Promise<void>;
before(async () => {
  const created = await createTestDatabase();
  drop = created.drop;
  database = openDatabase(created.url);
});
after(async () => {
  await database.close();
  await drop();
});

for (const [name, rule, holdUntil] of [
  ['left out', 'cancelled', null],
  ['held', 'vacation', new Date('2100-01-01')],
] as const) {
  test(`what somebody asks for while it is being judged is not ${name}`, async () => {
    const { sql } = database;
    const endpointId = await addEndpoint(sql);
    await addDue(sql, endpointId, 1);
    const owner = randomUUID();
    const { deliveries } = await claimDueDeliveries(sql, { owner, limit: 1, leaseMs: 60_000 });
    const [claimed] = deliveries;
    assert.ok(claimed);
    assert.equal(await retryDelivery(sql, claimed.id), true);
    const { fence } = claimed;
    const kept = await recordVerdicts(sql, [
      { deliveryId: claimed.id, endpointId, owner, fence, rule, holdUntil, rules: {} },
    ]);
    assert.deepEqual(kept, [true]);
    const delivery = await findDelivery(sql, claimed.id);
    assert.deepEqual([delivery?.status, delivery?.rule], ['pending', null]);
    const again = await claimDueDeliveries(sql, { owner: randomUUID(), limit: 1, leaseMs: 60_000 });
    assert.deepEqual(
      again.deliveries.map(({ id, ignoresRules }) => ({ id, ignoresRules })),
      [{ id: claimed.id, ignoresRules: true }],
    );
    await sql`DELETE FROM deliveries`;
  });
}
