import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Id, uuidOf } from '../../src/core/ids.ts';
import { noScope, serverError } from '../support/gmail/faults.ts';
import { addGmailSource, storedIds } from './gmail-service.ts';
import { lookAt, openService, openWorld, untilFree } from './stage.ts';

const ada = 'ada@example.com';
const world = await openWorld({ accounts: [ada] });
const { service, sql } = await openService(world, { stubWaitsMs: [20] });

async function positionOf(id: Id<'src'>) {
  const [row] = await sql`
    SELECT cursor, settling_cursor AS "settlingCursor" FROM sources WHERE id = ${uuidOf(id)}`;
  return { ...row };
}

test('what was to be adopted is forgotten once the cursor has moved, also by a look that then failed', async () => {
  const source = await addGmailSource(service, world, ada);
  const id = source.id as Id<'src'>;
  await untilFree(sql, id);
  const { cursor } = await positionOf(id);
  const named = String(BigInt(cursor) + 1n);
  await sql`
    UPDATE sources SET settling_cursor = ${named}, settling_at = now() - interval '2 hours' WHERE id = ${uuidOf(id)}`;

  world.fail({ name: 'messages.get' }, noScope());
  const mail = await world.deliver(ada);
  await lookAt(sql, id);
  assert.deepEqual(await positionOf(id), { cursor: mail.historyId, settlingCursor: null });

  // From here on history names a newer id than that of its last record.
  const newest = String(BigInt(mail.historyId) + 1000n);
  const withNewest = (answer: object) => ({ ...answer, historyId: newest });
  world.fail({ name: 'history.list' }, { name: 'newer id', change: withNewest }, Number.POSITIVE_INFINITY);
  await lookAt(sql, id);
  assert.deepEqual(await storedIds(service, source.mailboxId), [mail.id]);
  assert.deepEqual(await positionOf(id), { cursor: mail.historyId, settlingCursor: newest });

  // A fault alone keeps it.
  world.fail({ name: 'history.list' }, serverError());
  await lookAt(sql, id);
  assert.deepEqual(await positionOf(id), { cursor: mail.historyId, settlingCursor: newest });
});
