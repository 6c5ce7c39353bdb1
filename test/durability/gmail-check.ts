import assert from 'node:assert/strict';
import type { Sql } from 'postgres';
import type { GmailWorld } from '../support/gmail/world.ts';
import { callApi } from '../support/service.ts';
import type { FlakyConsumer } from './flaky-consumer.ts';
import type { Post } from './gmail-post.ts';

/** What must hold once nothing is left to be done. */
export async function checkMailboxes(run: {
  address: string;
  sql: Sql;
  world: GmailWorld;
  post: Post;
  consumer: FlakyConsumer;
}): Promise<{ gaps: number }> {
  const { address, sql, world, post, consumer } = run;
  const messages = await listAll(address, '/v1/messages');
  const ofProvider = new Map(messages.map(({ providerId, address: box }) => [providerId, box]));
  assert.equal(ofProvider.size, messages.length, 'each mail is one message');
  const missing = [...post.wanted].filter(([id, { account }]) => ofProvider.get(id) !== account);
  assert.deepEqual(missing, [], 'none is missing');
  const strange = [...ofProvider.keys()].filter((id) => !post.wanted.has(id) && !post.removed.has(id));
  assert.deepEqual(strange, [], 'nothing is stored that is no received mail');

  const gaps = await listAll(address, '/v1/gaps');
  assert.deepEqual(
    gaps.filter(({ recoveredAt }) => recoveredAt === null),
    [],
    'no gap is open',
  );
  const stubs = await sql`SELECT provider_id, status, error, attempts FROM stubs WHERE status <> 'missing'`;
  assert.deepEqual([...stubs], [], 'no stub is left but of what is gone');
  const gone = await sql<{ id: string }[]>`SELECT provider_id AS id FROM stubs`;
  assert.deepEqual(
    gone.filter(({ id }) => !post.removed.has(id)),
    [],
  );

  const sources = await listAll(address, '/v1/sources');
  for (const { id, state, reason, address: account } of sources) {
    assert.deepEqual([state, reason], ['idle', null], `the source ${id} of ${account} is well`);
  }
  const cursors = await sql<{ account: string; cursor: string }[]>`SELECT account, cursor FROM sources`;
  for (const { account, cursor } of cursors)
    assert.equal(cursor, await world.historyId(account), `${account} is read to its end`);

  const byId = (a: { id: string }, b: { id: string }) => (a.id < b.id ? -1 : 1);
  const told = [...consumer.messages].map(([id, { webhookIds, isTaken }]) => ({
    id,
    webhookIds: [...webhookIds],
    isTaken,
  }));
  const expected = messages.map(({ id }) => ({
    id,
    webhookIds: [id.replace('msg_', 'evt_')],
    isTaken: true,
  }));
  assert.deepEqual(told.sort(byId), expected.sort(byId), 'each message came, under one id, and was taken');
  return { gaps: gaps.length };
}

/** Has the database note whenever a cursor goes back. */
export async function noteStepsBack(sql: Sql): Promise<void> {
  await sql.unsafe(`
    CREATE TABLE test_steps_back (account text, cursor text, next text);
    CREATE FUNCTION test_step_back() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN INSERT INTO test_steps_back VALUES (OLD.account, OLD.cursor, NEW.cursor); RETURN NULL; END $$;
    CREATE TRIGGER test_step_back AFTER UPDATE ON sources FOR EACH ROW
      WHEN (NEW.cursor::numeric < OLD.cursor::numeric) EXECUTE FUNCTION test_step_back()`);
}

/**
 * What must hold at any time: whatever a cursor has passed is stored, or has a row that stands for it; and no cursor
 * ever went back.
 */
export async function checkCursors(sql: Sql, post: Post): Promise<void> {
  const rows = await sql<{ account: string; cursor: string; hasGap: boolean }[]>`
    SELECT account, cursor, EXISTS (
      SELECT FROM gaps WHERE source_id = sources.id AND recovered_at IS NULL AND listed_at IS NULL
    ) AS "hasGap" FROM sources`;
  const known = await sql<{ id: string }[]>`
    SELECT document->>'providerId' AS id FROM messages UNION ALL SELECT provider_id FROM stubs`;
  const ids = new Set(known.map(({ id }) => id));
  const cursors = new Map(
    rows.filter(({ hasGap }) => !hasGap).map(({ account, cursor }) => [account, cursor]),
  );
  const skipped = [...post.wanted].filter(
    ([id, { account, historyId }]) => BigInt(historyId) <= BigInt(cursors.get(account) ?? 0) && !ids.has(id),
  );
  assert.deepEqual(skipped, [], 'a cursor has passed what nothing stands for');
  assert.deepEqual([...(await sql`SELECT * FROM test_steps_back`)], [], 'a cursor went back');
}

/** Every page of a list. */
// biome-ignore lint/suspicious/noExplicitAny: resources of many shapes
async function listAll(address: string, path: string): Promise<any[]> {
  const all: unknown[] = [];
  for (let after = ''; ; ) {
    const { status, body } = await callApi(address, 'GET', `${path}?limit=500${after}`);
    assert.equal(status, 200);
    all.push(...body.data);
    if (body.next === null) return all;
    after = `&after=${body.next}`;
  }
}
