import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { pino } from 'pino';
import postgres from 'postgres';
import { createId, type Id, uuidOf } from '../../src/core/ids.ts';
import { startSearchIndexer } from '../../src/ops/search-indexer.ts';
import { type Database, openDatabase } from '../../src/store/database.ts';
import { raiseFeed } from '../../src/store/feed-places.ts';
import { deleteMessage } from '../../src/store/messages.ts';
import { ALL_TENANTS } from '../../src/store/scope.ts';
import { searchMessages } from '../../src/store/search.ts';
import {
  claimSearchWork,
  createSearchLease,
  finishSearchWork,
  readSearched,
  writeSearchWords,
} from '../../src/store/search-index.ts';
import { createTestDatabase } from '../support/database.ts';
import { waitUntil } from '../support/embedded-place.ts';
import { untilSearchable } from '../support/search.ts';

let database: Database;
let url: string;
let drop: () => Promise<void>;
before(async () => {
  ({ url, drop } = await createTestDatabase());
  database = openDatabase(url);
});
after(async () => {
  await database.close();
  await drop();
});
beforeEach(async () => {
  await database.sql`DELETE FROM messages`;
  await database.sql`DELETE FROM events`;
  await database.sql`UPDATE search_cursor SET xid = '0', event_id = ${uuidOf(createId('evt'))}, lease_until = now()`;
});

const log = pino({ level: 'silent' });
const start = () => startSearchIndexer({ database, log, scanMs: 20 });
/** Until every message has its words. */
async function index(): Promise<void> {
  const indexer = start();
  await untilSearchable(url).finally(() => indexer.stop());
}

const EMPTY = { from: null, sender: null, replyTo: [], to: [], cc: [], bcc: [], html: null, snippet: '' };

async function store(
  { subject = 'Stored', text = 'text' as string | null, isTruncated = false, extra = {} } = {},
  sql: postgres.Sql | postgres.TransactionSql = database.hot,
): Promise<Id<'msg'>> {
  const id = createId('msg');
  const document = JSON.stringify({ ...EMPTY, id, subject, text, ...extra });
  await sql`
    WITH stored AS (
      INSERT INTO messages (id, mailbox_id, tenant, placement, received_at, is_truncated, document)
      VALUES (${uuidOf(id)}, ${uuidOf(createId('mbx'))}, 'default', 'inbox', now(), ${isTruncated},
              ${document}::text::json)
    )
    INSERT INTO events (id, type, tenant) VALUES (${uuidOf(id)}, 'message.received', 'default')`;
  return id;
}

async function find(q: string): Promise<string[]> {
  const page = await searchMessages(database, { q, limit: 500, after: undefined, scope: ALL_TENANTS });
  return page.data.map(({ id }) => id);
}

/** What `completeMessage` of the store does to a message that came truncated. */
const complete = (id: Id<'msg'>, text: string) => database.hot`
  WITH completed AS (
    UPDATE messages SET is_truncated = false, document = ${JSON.stringify({ ...EMPTY, id, subject: 'Whole', text })}::text::json
    WHERE id = ${uuidOf(id)} RETURNING id
  )
  INSERT INTO message_search (message_id, words, is_stale) SELECT id, '', true FROM completed
  ON CONFLICT (message_id) DO UPDATE SET is_stale = true`;

test('what was stored before it began is found, and what a late commit brings', async () => {
  const early = await store({ subject: 'early bird' });
  const sql = postgres(url, { max: 1 });
  const commit = Promise.withResolvers<void>();
  const inserted = Promise.withResolvers<Id<'msg'>>();
  const late = sql.begin(async (tx) => {
    inserted.resolve(await store({ subject: 'late bird' }, tx));
    await commit.promise;
  });
  const lateId = await inserted.promise;
  const behind = await store({ subject: 'bird behind' });
  const indexer = start();
  await waitUntil('the early one is found', async () => (await find('bird')).includes(early));
  assert.deepEqual(await find('bird'), [early]);
  commit.resolve();
  await late;
  await untilSearchable(url).finally(() => indexer.stop());
  assert.deepEqual(await find('bird'), [behind, lateId, early]);
  await sql.end();
});

test('several processes write the words of each message, while mail comes', async () => {
  const indexers = [start(), start(), start()];
  const ids: Id<'msg'>[] = [];
  const writers = Array.from({ length: 4 }, async () => {
    for (let n = 0; n < 50; n++) ids.push(await store({ subject: 'shared work' }));
  });
  await Promise.all(writers);
  await untilSearchable(url);
  await Promise.all(indexers.map((indexer) => indexer.stop()));
  assert.deepEqual((await find('shared work')).sort(), ids.sort());
});

test('a process that dies in the middle is followed by another, from where the last step ended', async () => {
  const id = await store({ subject: 'orphaned' });
  const dead = createSearchLease(1000);
  const { work } = await claimSearchWork(database.search, dead, 10);
  assert.deepEqual(work?.missing, [id]);
  const other = createSearchLease(1000);
  assert.equal((await claimSearchWork(database.search, other, 10)).work, undefined);
  await index();
  assert.deepEqual(await find('orphaned'), [id]);
  // What it still does then touches nothing.
  await store();
  const taken = await claimSearchWork(database.search, other, 10);
  await finishSearchWork(database.search, dead, { next: { xid: '1', eventId: uuidOf(id) }, isMore: false });
  await finishSearchWork(database.search, other, { next: null, isMore: false });
  assert.deepEqual((await claimSearchWork(database.search, dead, 10)).work?.next, taken.work?.next);
});

describe('a message that is completed', () => {
  test('after its words were written is found by its new ones', async () => {
    const id = await store({ subject: 'headers only', text: null, isTruncated: true });
    await index();
    await complete(id, 'completeness');
    await index();
    assert.deepEqual([await find('completeness'), await find('headers')], [[id], []]);
  });

  test('before they were written is found by its new ones', async () => {
    const id = await store({ text: null, isTruncated: true });
    await complete(id, 'completeness');
    await index();
    assert.deepEqual(await find('completeness'), [id]);
  });

  test('between reading and writing them is found by its new ones', async () => {
    const id = await store({ text: null, isTruncated: true });
    const lease = createSearchLease(0);
    const { work } = await claimSearchWork(database.search, lease, 10);
    const read = await readSearched(database.search, work?.missing ?? []);
    await complete(id, 'completeness');
    await writeSearchWords(
      database.search,
      read.map((one) => ({ id: one.id, text: 'outdated' })),
      false,
    );
    assert.deepEqual(await find('outdated'), []);
    await index();
    assert.deepEqual([await find('completeness'), await find('outdated')], [[id], []]);
  });
});

test('a message that is deleted leaves no words, also when they are just being written', async () => {
  const [id, kept] = [await store({ subject: 'doomed' }), await store({ subject: 'doomed' })];
  await index();
  await deleteMessage(database.sql, id);
  assert.deepEqual(await find('doomed'), [kept]);

  const late = await store({ subject: 'doomed too' });
  const read = await readSearched(database.search, [late]);
  await deleteMessage(database.sql, late);
  await writeSearchWords(
    database.search,
    read.map((one) => ({ id: one.id, text: 'doomed too' })),
    false,
  );
  const rows = await database.sql`SELECT FROM message_search`;
  assert.equal(rows.length, 1);
});

test('in a database that was moved to another cluster it goes on', async () => {
  const early = await store({ subject: 'moved' });
  await index();
  const between = await store({ subject: 'moved' });
  const far = (column: string) => `${column} = (${column}::text::bigint + 1000000000000)::text::xid8`;
  await database.sql.unsafe(`UPDATE events SET ${far('xid')}`);
  await database.sql.unsafe(`UPDATE search_cursor SET ${far('xid')}, lease_until = now()`);
  assert.equal(await raiseFeed(database.sql), true);
  const late = await store({ subject: 'moved' });
  await index();
  assert.deepEqual(await find('moved'), [late, between, early]);
});

describe('a hostile message is found by its subject, and holds up nothing', () => {
  let n = 0;
  const unique = (length: number, make: () => string) => {
    let text = '';
    while (text.length < length) text += make();
    return text;
  };
  const texts: Record<string, string> = {
    'one word of 256 KiB': 'x'.repeat(262_144),
    'nothing but different words': unique(262_144, () => `${(++n).toString(36)} `),
    'words of the longest kind': unique(262_144, () => `${'é'.repeat(1000)}${++n} `),
    'one word again and again': 'again '.repeat(40_000),
    hyphens: 'a-'.repeat(131_072),
    'different hyphens': unique(262_144, () => `${(++n).toString(36)}-`),
    dots: 'a.'.repeat(131_072),
    'at signs': 'a@'.repeat(131_072),
    'many addresses': unique(262_144, () => `a${++n}@b.example,`),
    numbers: '1e5-.'.repeat(50_000),
    'letters that grow in lower case': 'İ'.repeat(130_000),
    'letters that grow, apart': 'İİ '.repeat(60_000),
    'signs of queries': `:*&|!()<->'\\"`.repeat(20_000),
    controls: '\u0001\u007f\u0085'.repeat(60_000),
    'combining marks': `e${'\u0301'.repeat(200_000)}`,
    'no letters at all': '🎉'.repeat(60_000),
  };
  test('of every kind at once', async () => {
    const expected: string[] = [];
    for (const [name, text] of Object.entries(texts)) {
      expected.unshift(await store({ subject: `hostile ${name}`, text }));
      expected.unshift(
        await store({ subject: `hostile html ${name}`, text: null, extra: { html: `<p>${text}` } }),
      );
      expected.unshift(
        await store({ subject: `hostile to`, extra: { to: [{ name: text, address: text }] } }),
      );
      expected.unshift(await store({ subject: `hostile ${text}` }));
    }
    await index();
    assert.deepEqual(await find('hostile'), expected);
  });
});

test('what PostgreSQL refuses is found by less, and the others of its step whole', async () => {
  // A word list may have 1 MB: here by a limit of the test, since no text of the indexer comes near it.
  await database.sql.unsafe(`
    CREATE FUNCTION refuse_long() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      IF length(NEW.words) > 100 THEN RAISE 'too long' USING ERRCODE = 'program_limit_exceeded'; END IF;
      RETURN NEW;
    END $$`);
  await database.sql.unsafe(
    'CREATE TRIGGER refuse_long BEFORE INSERT ON message_search FOR EACH ROW EXECUTE FUNCTION refuse_long()',
  );
  const before = await store({ subject: 'poison', text: 'first' });
  const poison = await store({
    subject: 'poison',
    text: Array.from({ length: 2000 }, (_, word) => `w${word}`).join(' '),
  });
  const behind = await store({ subject: 'poison', text: 'last' });
  await index().finally(() => database.sql.unsafe('DROP FUNCTION refuse_long CASCADE'));
  assert.deepEqual([await find('first'), await find('last')], [[before], [behind]]);
  const [row] = await database.sql`SELECT words FROM message_search WHERE message_id = ${uuidOf(poison)}`;
  assert.ok(row);
});

describe('a message that is none of ours', () => {
  const documents: [name: string, document: string][] = [
    [
      'with U+0000 in its subject',
      String.raw`{"subject": "a\u0000b", "replyTo": [], "to": [], "cc": [], "bcc": []}`,
    ],
    ['of another shape', '[]'],
    ['without its lists', '{"subject": "odd"}'],
    [
      'with addresses that are none',
      '{"subject": "odd", "replyTo": [1], "to": [null], "cc": {}, "bcc": "x"}',
    ],
  ];
  for (const [name, document] of documents) {
    test(`${name} is told of, and holds up none that come with it or after it`, async () => {
      const before = await store({ subject: 'before odd' });
      const odd = await store();
      await database.sql`UPDATE messages SET document = ${document}::text::json WHERE id = ${uuidOf(odd)}`;
      await complete(await store(), 'to be completed');
      const stale = await store({ isTruncated: true });
      await complete(stale, 'x');
      await database.sql`UPDATE messages SET document = ${document}::text::json WHERE id = ${uuidOf(stale)}`;
      const behind = await store({ subject: 'behind odd' });
      const told: unknown[] = [];
      const indexer = startSearchIndexer({
        database,
        log: pino({}, { write: (line) => told.push(JSON.parse(line).messageId) }),
        scanMs: 20,
      });
      try {
        await waitUntil('the others are found', async () => (await find('before or behind')).length === 2);
        assert.deepEqual(await find('before or behind'), [behind, before]);
        await waitUntil('nothing is stale', async () => {
          const rows = await database.sql`SELECT FROM message_search WHERE is_stale`;
          return rows.length === 0;
        });
        const last = await store({ subject: 'last' });
        await waitUntil('it goes on', async () => (await find('last')).includes(last));
        assert.equal(told.length, 1, 'one a minute, however many there are');
        assert.ok([odd, stale].some((id) => id === told[0]));
      } finally {
        await indexer.stop();
      }
    });
  }
});
