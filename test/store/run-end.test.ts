import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import postgres from 'postgres';
import { uuidOf } from '../../src/core/ids.ts';
import { createHintRecorder } from '../../src/store/hints.ts';
import { claimGmailSources, createHolder, endRun } from '../../src/store/source-leases.ts';
import { createTestDatabase } from '../support/database.ts';
import { addGmailSource } from '../support/gmail-source.ts';

const database = await createTestDatabase();
after(() => database.drop());
const sql = postgres(database.url, { max: 1, onnotice: () => {} });
after(() => sql.end({ timeout: 5 }));

const FAILED = {
  state: 'error',
  reason: 'Gmail is out of reach',
  failures: 8,
  lagLooks: 0,
  isComplete: false,
  isAlive: false,
  dueInMs: 60_000,
  slowForMs: null,
  settling: undefined,
} as const;

test('a change of health that is told is on disk', async () => {
  await addGmailSource(sql, 'ada@example.com');
  const [claimed] = await claimGmailSources(sql, { holder: createHolder(), limit: 1 });
  assert.ok(claimed !== undefined);
  const [{ before }] = await sql<[{ before: string }]>`SELECT pg_current_wal_insert_lsn()::text AS before`;
  assert.equal(await endRun(sql, claimed, FAILED), true);
  const [{ isFlushed }] = await sql<[{ isFlushed: boolean }]>`
    SELECT pg_current_wal_flush_lsn() > ${before}::pg_lsn AS "isFlushed"`;
  assert.equal(isFlushed, true);
});

test('who was hinted first has its turn before who is due again since then', async () => {
  const hinted = await addGmailSource(sql, 'bob@example.com');
  await sql`UPDATE sources SET due_at = now() + interval '5 minutes' WHERE id = ${uuidOf(hinted)}`;
  const hints = createHintRecorder(sql, { onHints: () => {} });
  assert.equal(await hints.submit({ address: 'bob@example.com', historyId: '1' }), 1);
  const again = await addGmailSource(sql, 'cy@example.com');
  await sql`UPDATE sources SET due_at = now() WHERE id = ${uuidOf(again)}`;
  const [first, second, ...others] = [
    ...(await claimGmailSources(sql, { holder: createHolder(), limit: 1 })),
    ...(await claimGmailSources(sql, { holder: createHolder(), limit: 1 })),
    ...(await claimGmailSources(sql, { holder: createHolder(), limit: 1 })),
  ];
  assert.deepEqual([first?.address, second?.address], ['bob@example.com', 'cy@example.com']);
  assert.deepEqual(others, []);
});

test('a hint hurries no source that backs off, and one that comes during a look has the next follow at once', async () => {
  const id = await addGmailSource(sql, 'dee@example.com');
  const hints = createHintRecorder(sql, { onHints: () => {} });
  const dueInS = async () => {
    const [row] =
      await sql`SELECT extract(epoch FROM due_at - now())::float AS s FROM sources WHERE id = ${uuidOf(id)}`;
    return Number(row?.s);
  };
  const [claimed] = await claimGmailSources(sql, { holder: createHolder(), limit: 1 });
  assert.ok(claimed?.address === 'dee@example.com');
  await hints.submit({ address: 'dee@example.com', historyId: '2' });
  await endRun(sql, claimed, FAILED);
  assert.ok((await dueInS()) > 50);
  await hints.submit({ address: 'dee@example.com', historyId: '3' });
  assert.ok((await dueInS()) > 50);

  await sql`UPDATE sources SET due_at = now(), state = 'idle' WHERE id = ${uuidOf(id)}`;
  const [second] = await claimGmailSources(sql, { holder: createHolder(), limit: 1 });
  assert.ok(second?.address === 'dee@example.com');
  await hints.submit({ address: 'dee@example.com', historyId: '4' });
  await endRun(sql, second, { ...FAILED, state: 'idle', reason: null, failures: 0, isComplete: true });
  assert.ok((await dueInS()) <= 0);
});
