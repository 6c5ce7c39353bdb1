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
  const missing = [...post.wanted].filter(([id, account]) => ofProvider.get(id) !== account);
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
