import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createId, type Id } from '../../src/core/ids.ts';
import { type Database, openDatabase } from '../../src/store/database.ts';
import { NO_REPLAY } from '../../src/store/replays.ts';
import { enterSubjectGroups, type GroupEntry, pruneSubjectGroups } from '../../src/store/subject-groups.ts';
import { createTestDatabase } from '../support/database.ts';

let testDatabase: Awaited<ReturnType<typeof createTestDatabase>>;
let database: Database;
before(async () => {
  testDatabase = await createTestDatabase();
  database = openDatabase(testDatabase.url);
});
after(async () => {
  await database.close();
  await testDatabase.drop();
});

const MINUTE_MS = 60_000;
const START_MS = Date.parse('2026-11-26T12:00:00Z');

function entry(minute: number, change: Partial<GroupEntry> & { endpointId: Id<'ep'> }): GroupEntry {
  return {
    replayId: NO_REPLAY,
    tenant: 'default',
    subjectGroup: 'hello',
    eventId: createId('evt'),
    at: new Date(START_MS + minute * MINUTE_MS),
    windowMs: 10 * MINUTE_MS,
    ...change,
  };
}

const enter = (entries: GroupEntry[]) => enterSubjectGroups(database.hot, entries);

for (const [how, together] of [
  ['together', true],
  ['one after the other', false],
] as const)
  test(`of mails that come ${how}, the first of each window goes`, async () => {
    const endpointId = createId('ep');
    const entries = [0, 1, 9, 10, 15, 19, 20, 35].map((minute) => entry(minute, { endpointId }));
    const goes = together ? await enter(entries) : [];
    if (!together) for (const one of entries) goes.push(...(await enter([one])));
    assert.deepEqual(goes, [true, false, false, true, false, false, true, true]);
  });

describe('a mail that goes', () => {
  test('goes again when it asks again, also after the next window has opened', async () => {
    const endpointId = createId('ep');
    const first = entry(0, { endpointId });
    assert.deepEqual(await enter([first]), [true]);
    assert.deepEqual(await enter([first]), [true]);
    assert.deepEqual(await enter([entry(10, { endpointId })]), [true]);
    assert.deepEqual(await enter([first]), [true]);
    assert.deepEqual(await enter([entry(11, { endpointId })]), [false]);
  });

  test('stands in no way of another endpoint, tenant, group or replay', async () => {
    const endpointId = createId('ep');
    await enter([entry(0, { endpointId })]);
    for (const change of [
      { endpointId: createId('ep') },
      { endpointId, tenant: 'acme' },
      { endpointId, subjectGroup: 'hello you' },
      { endpointId, replayId: '0198c000-0000-7000-8000-000000000000' },
    ])
      assert.deepEqual(await enter([entry(1, change)]), [true]);
    assert.deepEqual(await enter([entry(1, { endpointId })]), [false]);
  });
});

test('of many that ask at once in several processes one goes', async () => {
  const other = openDatabase(testDatabase.url);
  const endpointId = createId('ep');
  const groups = Array.from({ length: 20 }, (_, index) => `group ${index}`);
  const ask = (db: Database) =>
    enterSubjectGroups(
      db.hot,
      groups.map((subjectGroup) => entry(0, { endpointId, subjectGroup })),
    );
  const answers = await Promise.all([database, other, database, other, database].map(ask));
  for (const index of groups.keys()) {
    assert.equal(answers.filter((goes) => goes[index]).length, 1);
  }
  await other.close();
});

test('a window that is over is forgotten, one that is open is not', async () => {
  const endpointId = createId('ep');
  await database.hot`DELETE FROM subject_groups`;
  await enter([entry(0, { endpointId }), entry(0, { endpointId, subjectGroup: 'other' })]);
  await database.hot`UPDATE subject_groups SET expires_at = now() - interval '1 second'
    WHERE ctid = (SELECT min(ctid) FROM subject_groups)`;
  await pruneSubjectGroups(database.hot);
  assert.equal((await database.hot`SELECT FROM subject_groups`).length, 1);
});
