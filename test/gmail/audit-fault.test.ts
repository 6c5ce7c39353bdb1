import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Id, uuidOf } from '../../src/core/ids.ts';
import { emptyHistory, serverError } from '../support/gmail/faults.ts';
import { addGmailSource, storedIds } from './gmail-service.ts';
import { lookAt, openService, openWorld, untilFree } from './stage.ts';

const ada = 'ada@example.com';
const world = await openWorld({ accounts: [ada] });
const { service, sql } = await openService(world, { stubWaitsMs: [20] });

test('an audit that Gmail does not answer waits as every failure does, and goes on then', async () => {
  const source = await addGmailSource(service, world, ada);
  const id = source.id as Id<'src'>;
  await untilFree(sql, id);
  await sql`
    UPDATE sources SET audited_at = now() - interval '1 day', created_at = now() - interval '7 days'
    WHERE id = ${uuidOf(id)}`;
  world.fail({ name: 'history.list' }, emptyHistory(), Number.POSITIVE_INFINITY);
  const mail = await world.deliver(ada, { internalDateMs: Date.now() - 5 * 3_600_000 });

  const heal = world.fail({ name: 'messages.list' }, serverError(), Number.POSITIVE_INFINITY);
  await lookAt(sql, id);
  // The first wait is of 1.6 s at least.
  await sleep(1000);
  assert.equal(world.ledger.count({ name: 'messages.list' }), 1);
  heal();
  await lookAt(sql, id);
  assert.deepEqual(await storedIds(service, source.mailboxId), [mail.id]);
  const [gap, ...others] = (await service.api('GET', `/v1/gaps?source=${id}`)).body.data;
  assert.deepEqual([gap.reason, gap.listed, gap.recovered, others.length], ['audit', 1, 1, 0]);
});
