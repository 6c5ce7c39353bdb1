import assert from 'node:assert/strict';
import { after, beforeEach, describe, test } from 'node:test';
import postgres from 'postgres';
import { type Id, uuidOf } from '../../src/core/ids.ts';
import { claimImapSources } from '../../src/store/imap-leases.ts';
import { noteOutages } from '../../src/store/imap-outages.ts';
import { createHolder } from '../../src/store/source-leases.ts';
import { WAITING_FOR_WORKER } from '../../src/store/sources.ts';
import { createTestDatabase } from '../support/database.ts';
import { addImapSource } from '../support/imap-source.ts';

const database = await createTestDatabase();
after(() => database.drop());
const sql = postgres(database.url, { max: 2, onnotice: () => {} });
after(() => sql.end({ timeout: 5 }));
beforeEach(async () => {
  await sql`DELETE FROM events`;
  await sql`DELETE FROM sources`;
});

const MINUTE_MS = 60_000;
const minutesAgo = (minutes: number) => new Date(Date.now() - minutes * MINUTE_MS);
const soon = minutesAgo(-1);

async function set(id: Id<'src'>, columns: Record<string, unknown>): Promise<void> {
  await sql`UPDATE sources SET ${sql(columns)} WHERE id = ${uuidOf(id)}`;
}

const look = () => noteOutages(sql, { outageAfterMs: 3 * MINUTE_MS, reachableMs: 10 * MINUTE_MS });

/** What was told, in order. */
async function told(): Promise<{ type: string; reason: string }[]> {
  const rows = await sql`SELECT type, data FROM events ORDER BY xid, id`;
  return rows.map(({ type, data }) => ({ type, reason: data.reason }));
}

describe('a source that has not been read for longer than an outage', () => {
  const OUT = { wanted_at: minutesAgo(20), last_proven_alive_at: minutesAgo(10) };
  const CROWDED = 'all connections that its account may have are in use';
  const cases: [string, Record<string, unknown>, string, RegExp][] = [
    [
      'as no worker runs, asks for one',
      { reason: WAITING_FOR_WORKER, due_at: minutesAgo(10) },
      'source.silent',
      /no worker has read it since .* is `mailgress worker` running/,
    ],
    [
      'as no worker runs, whatever one said before it went',
      { reason: CROWDED, due_at: minutesAgo(9) },
      'source.silent',
      /no worker has read it/,
    ],
    [
      'as its tries fail, says why',
      { reason: 'refused', failures: 3, due_at: soon },
      'source.state_changed',
      /^refused$/,
    ],
    [
      'as the connections of its account are in use, says so',
      { reason: CROWDED, due_at: soon },
      'source.state_changed',
      /connections/,
    ],
    [
      'though a worker holds it, says so',
      { reason: null, due_at: minutesAgo(10), lease_until: soon },
      'source.state_changed',
      /^its session has got no further since /,
    ],
  ];
  for (const [name, columns, type, reason] of cases)
    test(name, async () => {
      const { id } = await addImapSource(sql, { account: null });
      await set(id, { ...OUT, ...columns });
      assert.equal(await look(), true);
      assert.equal(await look(), false, 'once');
      const [first, ...others] = await told();
      assert.equal(first?.type, type);
      assert.match(first?.reason ?? '', reason);
      assert.deepEqual(others, []);
    });
});

test('a standby that wakes is not late before it could be heard of', async () => {
  const { id } = await addImapSource(sql, { account: null, settings: { standby: true } });
  await set(id, { wanted_at: minutesAgo(600), last_proven_alive_at: minutesAgo(500) });
  assert.equal(await look(), false, 'asleep');
  const { claimed } = await claimImapSources(sql, { holder: createHolder(), limit: 9, budgets: {} });
  assert.equal(claimed.length, 1);
  await set(id, { state: 'connecting' });
  assert.equal(await look(), false, 'awake');
});

test('a source that waits for a person is not alive again by what was heard of it before', async () => {
  const { id } = await addImapSource(sql, { account: null });
  // Heard of by a clock that is ahead.
  await set(id, {
    state: 'needs_reauth',
    alarm: 'needs_person',
    silent_at: minutesAgo(1),
    last_proven_alive_at: new Date(),
  });
  assert.equal(await look(), false);
  await set(id, { state: 'idle' });
  assert.equal(await look(), true);
  assert.deepEqual(await told(), [{ type: 'source.state_changed', reason: 'it is proven alive again' }]);
});
