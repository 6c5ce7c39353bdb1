import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import postgres from 'postgres';
import { uuidOf } from '../../src/core/ids.ts';
import { claimSources, createHolder, endRun } from '../../src/store/source-leases.ts';
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
  const [claimed] = await claimSources(sql, { kind: 'gmail', holder: createHolder(), limit: 1 });
  assert.ok(claimed !== undefined);
  const [{ before }] = await sql<[{ before: string }]>`SELECT pg_current_wal_insert_lsn()::text AS before`;
  assert.equal(await endRun(sql, claimed, FAILED), true);
  const [{ isFlushed }] = await sql<[{ isFlushed: boolean }]>`
    SELECT pg_current_wal_flush_lsn() > ${before}::pg_lsn AS "isFlushed"`;
  assert.equal(isFlushed, true);
});

test('who was hinted first has its turn before who is due again since then', async () => {
  const hinted = await addGmailSource(sql, 'bob@example.com');
  await addGmailSource(sql, 'cy@example.com');
  await sql`
    UPDATE sources SET due_at = now() + interval '5 minutes', synced_at = now() - interval '1 minute',
      hinted_at = now() - interval '10 seconds'
    WHERE id = ${uuidOf(hinted)}`;
  const [first, second, ...others] = [
    ...(await claimSources(sql, { kind: 'gmail', holder: createHolder(), limit: 1 })),
    ...(await claimSources(sql, { kind: 'gmail', holder: createHolder(), limit: 1 })),
    ...(await claimSources(sql, { kind: 'gmail', holder: createHolder(), limit: 1 })),
  ];
  assert.deepEqual([first?.address, second?.address], ['bob@example.com', 'cy@example.com']);
  assert.deepEqual(others, []);
});
