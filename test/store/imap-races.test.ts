import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, test } from 'node:test';
import fc from 'fast-check';
import postgres from 'postgres';
import { uuidOf } from '../../src/core/ids.ts';
import { findOpenGaps, keepGapPage } from '../../src/store/gap-filling.ts';
import {
  addFolder,
  keepFolderPage,
  listFolderCursors,
  noteFolderRead,
  noteFolderStrike,
} from '../../src/store/imap-folders.ts';
import { claimImapSources, endSession, renewImapLeases } from '../../src/store/imap-leases.ts';
import { createHolder } from '../../src/store/source-leases.ts';
import { findDueStubs } from '../../src/store/stub-queue.ts';
import { createTestDatabase } from '../support/database.ts';
import { addImapSource } from '../support/imap-source.ts';
import { Race } from './imap-race.ts';
import { END, HOLDERS, KINDS, PATH, SINCE } from './imap-race-steps.ts';

const database = await createTestDatabase();
after(() => database.drop());
const sql = postgres(database.url, { max: 4, onnotice: () => {} });
after(() => sql.end({ timeout: 5 }));

const RUNS = 100;
const step = fc.record({
  kind: fc.constantFrom(...KINDS),
  who: fc.nat(HOLDERS - 1),
  size: fc.integer({ min: 1, max: 4 }),
});

async function begin(): Promise<Race> {
  const source = await addImapSource(sql, { account: `${randomUUID()}@example.com` });
  // Nobody else's: a claim takes whatever is due.
  await sql`UPDATE sources SET is_wanted = (id = ${uuidOf(source.id)}) WHERE kind = 'imap'`;
  await sql`
    INSERT INTO imap_folders (source_id, path, uid_validity, uid) VALUES (${uuidOf(source.id)}, ${PATH}, 1, 0)`;
  return new Race(sql, source);
}

test('steps of several workers in any order lose no mail, and the cursor goes back by a jump alone', () =>
  fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 60 }), async (steps) => {
      const race = await begin();
      for (const { kind, who, size } of steps) {
        await race.take(kind, who, size);
        await race.check();
      }
    }),
    { numRuns: RUNS },
  ));

test('nor do steps that are taken at the same moment', () =>
  fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(step, { minLength: 2, maxLength: 5 }), { maxLength: 12 }),
      async (rounds) => {
        const race = await begin();
        for (const round of rounds) {
          race.arrive(2);
          await race.take('claim', 0, 1);
          await Promise.all(round.map(({ kind, who, size }) => race.take(kind, who, size)));
          await race.check();
        }
      },
    ),
    { numRuns: RUNS },
  ));

test('a wish is listed anew when its folder gets new UIDs before all of it was fetched', async () => {
  const race = await begin();
  race.arrive(4);
  const [holder = assert.fail()] = race.holders;
  await race.forget();
  await race.claim(holder);
  const { claimed = assert.fail('not claimed') } = holder;
  await race.add(holder, claimed);
  await race.listGap(claimed);
  race.flip();
  // What is younger than the last read alone: the wish reaches further back.
  const to = { uidValidity: 2, uid: 4 };
  const { cursor = assert.fail('no cursor') } = holder;
  assert.ok(await race.jumpTo(claimed.lease, 'uidvalidity_changed', cursor, to, new Date()));
  const gaps = await findOpenGaps(sql, race.source);
  assert.deepEqual(
    gaps.map(({ since, pageToken }) => [since.getTime() === 0, pageToken]),
    [
      [true, null],
      [false, null],
    ],
  );
  // It names them again; stubs under the old UIDs would be of nothing.
  assert.equal((await sql`SELECT FROM stubs WHERE source_id = ${uuidOf(race.source)}`).length, 0);
});

test('a stub whose gap does not list it again is kept as missing when its folder gets new UIDs', async () => {
  const race = await begin();
  race.arrive(4);
  const [holder = assert.fail()] = race.holders;
  await race.forget();
  await race.claim(holder);
  const { claimed = assert.fail('not claimed') } = holder;
  await race.add(holder, claimed);
  await race.listGap(claimed);
  await sql`UPDATE gaps SET recovered_at = now() WHERE source_id = ${uuidOf(race.source)}`;
  race.flip();
  const to = { uidValidity: 2, uid: 4 };
  const { cursor = assert.fail('no cursor') } = holder;
  assert.ok(await race.jumpTo(claimed.lease, 'uidvalidity_changed', cursor, to, SINCE));
  const stubs = await sql`SELECT status FROM stubs WHERE source_id = ${uuidOf(race.source)}`;
  assert.deepEqual(
    stubs.map(({ status }) => status),
    Array(4).fill('missing'),
  );
});

test('a page of a gap that was listed under the UIDs of before is not kept', async () => {
  const race = await begin();
  race.arrive(4);
  const [holder = assert.fail()] = race.holders;
  await race.forget();
  await race.claim(holder);
  const { claimed = assert.fail('not claimed') } = holder;
  await race.add(holder, claimed);
  const [gap = assert.fail('no gap')] = await findOpenGaps(sql, race.source);
  const page = { stubs: [{ providerId: 'INBOX;UIDVALIDITY=1/;UID=1', key: null }], listed: 1, next: null };
  const keep = (uidValidity: number) =>
    keepGapPage(sql, claimed.lease, gap, page, { path: PATH, uidValidity });
  assert.equal(await keep(9), false);
  assert.equal((await findOpenGaps(sql, race.source)).length, 1, 'its listing goes on');
  assert.equal((await sql`SELECT FROM stubs WHERE source_id = ${uuidOf(race.source)}`).length, 0);
  assert.equal(await keep(1), true);
});

test('a folder that is begun again is listed from its beginning again', async () => {
  const race = await begin();
  const [holder = assert.fail()] = race.holders;
  for (const _ of [1, 2]) {
    race.arrive(2);
    await race.forget();
    await race.claim(holder);
    const { claimed = assert.fail('not claimed') } = holder;
    await race.add(holder, claimed);
    await race.check();
    await race.listGap(claimed);
    await race.fetch(claimed, 10);
    await race.check();
  }
});

test('a stale holder keeps nothing', async () => {
  const race = await begin();
  race.arrive(5);
  const { claimed } = await claimImapSources(sql, { holder: createHolder(), limit: 1, budgets: {} });
  const [old] = claimed;
  assert.ok(old !== undefined);
  await race.steal();
  const { lease } = old;
  const from = { uidValidity: 1, uid: 0 };
  assert.deepEqual(await renewImapLeases(sql, [lease]), []);
  const passed = [race.passed(1, 1, 1)];
  assert.equal(
    await keepFolderPage(sql, lease, { path: PATH, uidValidity: 1, from: 0, to: 1, passed, modSeq: null }),
    false,
  );
  assert.equal(
    await race.jumpTo(lease, 'uidvalidity_changed', from, { uidValidity: 2, uid: 5 }, SINCE),
    false,
  );
  const junk = { path: 'Junk', role: null, uidValidity: 1, uid: 5, since: SINCE };
  assert.equal(await addFolder(sql, lease, junk), false);
  await noteFolderStrike(sql, lease, PATH);
  await noteFolderRead(sql, lease, { path: PATH, modSeq: '9' });
  const end = { ...END, state: 'disabled', reason: 'of a session long past' } as const;
  assert.equal(await endSession(sql, old, end), false);
  assert.deepEqual(await findDueStubs(sql, lease, 10), []);
  const [row] = await sql`
    SELECT state, (SELECT count(*)::int FROM stubs WHERE source_id = sources.id) AS stubs,
           (SELECT count(*)::int FROM gaps WHERE source_id = sources.id) AS gaps,
           (SELECT count(*)::int FROM events WHERE mailbox_id = sources.mailbox_id) AS events
    FROM sources WHERE id = ${uuidOf(race.source)}`;
  assert.deepEqual({ ...row }, { state: 'disconnected', stubs: 0, gaps: 0, events: 0 });
  const folders = await listFolderCursors(sql, race.source);
  assert.deepEqual(
    folders.map(({ path, uid, modSeq, strikes }) => ({ path, uid, modSeq, strikes })),
    [{ path: PATH, uid: 0, modSeq: null, strikes: 0 }],
  );
});
