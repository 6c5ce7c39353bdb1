import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Id } from '../../src/core/ids.ts';
import { addGmailSource, storedIds } from './gmail-service.ts';
import { lookAt, openService, openWorld, untilFree } from './stage.ts';

const ada = 'ada@example.com';
const world = await openWorld({ accounts: [ada] });
const { service, sql } = await openService(world, { stubWaitsMs: [20] });

test('a wish that goes back before any mail reads all there is, once', async () => {
  const old = await world.deliver(ada, { internalDateMs: Date.parse('1999-12-31T12:00:00Z') });
  const source = await addGmailSource(service, world, ada);
  const id = source.id as Id<'src'>;
  await untilFree(sql, id);
  for (const since of ['0001-01-01T00:00:00Z', '0000-01-01T00:00:00Z', '1950-01-01T00:00:00.123456789Z']) {
    const { status } = await service.api('POST', `/v1/sources/${id}/sync`, { since });
    assert.equal(status, 202, since);
    await lookAt(sql, id);
    const [gap] = (await service.api('GET', `/v1/gaps?source=${id}`)).body.data;
    assert.deepEqual([gap.since, gap.listed], ['1970-01-01T00:00:00.000Z', 1], since);
    assert.notEqual(gap.recoveredAt, null);
  }
  assert.deepEqual(await storedIds(service, source.mailboxId), [old.id]);
});
