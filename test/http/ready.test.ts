import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import postgres, { type Sql } from 'postgres';
import { createId } from '../../src/core/ids.ts';
import { createSecret } from '../../src/core/signature.ts';
import { sharedLook } from '../../src/http/shared-look.ts';
import { waitUntil } from '../support/embedded-place.ts';
import { batch, push, startTestService, type TestService } from '../support/service.ts';

let service: TestService;
let sql: Sql;
before(async () => {
  service = await startTestService({ storeDeadlineMs: 60_000 });
  sql = postgres(service.databaseUrl, { max: 2, onnotice: () => {} });
});
after(async () => {
  await sql.end();
  await service.dispose();
});

test('is ready while every connection of the hot path is busy', async () => {
  const tables = await sql.reserve();
  await tables`BEGIN`;
  await tables`LOCK TABLE sources IN ACCESS EXCLUSIVE MODE`;
  // Each looks for a source of its own.
  const pushes = Array.from({ length: 12 }, () => {
    const id = createId('src');
    const ingestUrl = `${service.address}/v1/ingest/apps-script/${id}`;
    return push({ id, secret: createSecret(), ingestUrl }, batch([]));
  });
  await waitUntil('all of them wait', async () => {
    const [row] = await sql`
      SELECT count(*)::int AS waiting FROM pg_stat_activity
      WHERE datname = current_database() AND wait_event_type = 'Lock' AND application_name = 'mailgress'`;
    return row?.waiting >= 4;
  });
  const isEarly = await Promise.race([
    fetch(`${service.address}/readyz`).then(({ status }) => status === 200),
    Promise.all(pushes).then(() => false),
  ]);
  await tables`COMMIT`;
  tables.release();
  assert.ok(isEarly);
  assert.deepEqual(new Set((await Promise.all(pushes)).map(({ status }) => status)), new Set([401]));
});

test('those who ask at once share a look, and the next one looks again', async () => {
  let looks = 0;
  const look = sharedLook(async () => {
    looks++;
    if (looks === 2) throw new Error('away');
    return looks;
  });
  assert.deepEqual(await Promise.all([look(), look()]), [1, 1]);
  await Promise.all([assert.rejects(look()), assert.rejects(look())]);
  assert.equal(await look(), 3);
});
