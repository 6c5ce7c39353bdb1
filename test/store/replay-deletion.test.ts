import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import postgres, { type Sql } from 'postgres';
import { createId, type Id, idOf, uuidOf } from '../../src/core/ids.ts';
import { type Database, openDatabase } from '../../src/store/database.ts';
import { createMailbox } from '../../src/store/mailboxes.ts';
import { advanceReplay, createReplay, findReplay } from '../../src/store/replays.ts';
import { createTestDatabase } from '../support/database.ts';
import { addEndpoint } from '../support/deliveries.ts';

let testDatabase: Awaited<ReturnType<typeof createTestDatabase>>;
let database: Database;
let sql: Sql;
/** A connection of its own, which may leave a transaction open. */
let deleter: Sql;
before(async () => {
  testDatabase = await createTestDatabase();
  database = openDatabase(testDatabase.url);
  sql = database.hot;
  deleter = postgres(testDatabase.url, { max: 1, onnotice: () => {} });
});
beforeEach(() => sql`TRUNCATE mailboxes, deliveries, attempts, events, endpoints CASCADE`);
after(async () => {
  await deleter.end();
  await database.close();
  await testDatabase.drop();
});

let mailboxes = 0;
async function addMailbox(): Promise<Id<'mbx'>> {
  const address = `box-${++mailboxes}@example.com`;
  return (await createMailbox(sql, { tenant: 'default', address })).id as Id<'mbx'>;
}

async function addEvent(mailboxId: Id<'mbx'> | null): Promise<Id<'evt'>> {
  const [row] = await sql<[{ id: string }]>`
    INSERT INTO events (id, type, tenant, mailbox_id, data)
    VALUES (mailgress_uuidv7(), 'gap.opened', 'default', ${mailboxId === null ? null : uuidOf(mailboxId)}, '{}')
    RETURNING id`;
  return idOf('evt', row.id);
}

async function startReplay(): Promise<Id<'rpl'>> {
  const endpoint = await addEndpoint(sql);
  await sql`UPDATE endpoints SET types = '{gap.opened}'`;
  const [since, until] = [new Date(Date.now() - 3_600_000), new Date(Date.now() + 60_000)];
  const replay = await createReplay(sql, endpoint, { since, until, mailboxId: null, ignoresRules: false });
  assert.ok(replay);
  return replay.id as Id<'rpl'>;
}

async function queuedEvents(): Promise<Id<'evt'>[]> {
  const rows = await sql<{ id: string }[]>`SELECT event_id AS id FROM deliveries ORDER BY event_id`;
  return rows.map(({ id }) => idOf('evt', id));
}

const step = () => advanceReplay(sql, { pauseMs: 0 });

for (const [end, outcome] of [
  ['COMMIT', 'queues nothing of it, and goes on with the others'],
  ['ROLLBACK', 'leaves out nothing of it when it stays'],
] as const)
  test(`a replay during whose step a mailbox is deleted ${outcome}`, async () => {
    const [doomed, other] = [await addMailbox(), await addMailbox()];
    const first = await addEvent(other);
    const lost = await addEvent(doomed);
    const [second, third] = [await addEvent(other), await addEvent(null)];
    // Its mailbox is none that could be deleted under it.
    const orphan = await addEvent(createId('mbx'));
    const id = await startReplay();

    await deleter`BEGIN`;
    await deleter`SELECT mailgress_delete_mailbox(${uuidOf(doomed)})`;
    assert.equal(await step(), 'queued');
    assert.deepEqual(await queuedEvents(), [first], 'what is before it');
    assert.equal(await step(), 'waiting');
    await sql`UPDATE deliveries SET status = 'succeeded'`;
    assert.equal(await step(), 'waiting');
    assert.equal((await findReplay(sql, id))?.status, 'running');
    await deleter.unsafe(end);

    assert.equal(await step(), 'queued');
    const stays = end === 'ROLLBACK' ? [lost] : [];
    assert.deepEqual(await queuedEvents(), [first, ...stays, second, third, orphan]);
    await sql`UPDATE deliveries SET status = 'succeeded'`;
    await step();
    const replay = await findReplay(sql, id);
    assert.deepEqual([replay?.status, replay?.queued], ['completed', 4 + stays.length]);
  });
