import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createId, uuidOf } from '../../src/core/ids.ts';
import { copyDatabase } from '../../src/store/copy-database.ts';
import { type Database, openDatabase } from '../../src/store/database.ts';
import {
  compareFeedPositions,
  FEED_START,
  type FeedPosition,
  findFeedEnd,
  readFeed,
} from '../../src/store/feed.ts';
import { raiseFeed } from '../../src/store/feed-places.ts';
import { ALL_TENANTS } from '../../src/store/scope.ts';
import { createTestDatabase } from '../support/database.ts';
import { query, waitUntil } from '../support/embedded-place.ts';
import { startTestService } from '../support/service.ts';

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

let count = 0;

async function append(): Promise<number> {
  const n = count++;
  await database.sql`
    INSERT INTO events (id, type, tenant, data)
    VALUES (${uuidOf(createId('evt'))}, 'source.silent', 'default', ${JSON.stringify({ n })}::text::json)`;
  return n;
}

/** As they are after a copy from a cluster that had written more than this one. */
async function moveFromBusierCluster(): Promise<void> {
  await database.sql`UPDATE events SET xid = (xid::text::bigint + 1000000000000)::text::xid8`;
}

/** Once nothing is held back: transactions of other tests in the cluster do so for a moment. */
async function readAll(
  after: FeedPosition,
  isHeldBack = false,
): Promise<{ ns: number[]; next: FeedPosition }> {
  let page = await readFeed(database.sql, { scope: ALL_TENANTS, after, types: [], limit: 500 });
  await waitUntil('the log can be read to its end', async () => {
    if (page.isHeldBack !== isHeldBack) {
      page = await readFeed(database.sql, { scope: ALL_TENANTS, after, types: [], limit: 500 });
    }
    return page.isHeldBack === isHeldBack;
  });
  return { ns: page.events.map(({ data }) => JSON.parse(data).n), next: page.next };
}

test('a log whose events are all of this cluster stays as it is', async () => {
  assert.equal(await raiseFeed(database.sql), false);
  await append();
  assert.equal(await raiseFeed(database.sql), false);
});

for (const time of ['first', 'second'])
  test(`a database that has moved for the ${time} time goes on behind its old events, for readers at any place`, async () => {
    const from = count;
    await append();
    await append();
    const early = await readAll(FEED_START);
    await moveFromBusierCluster();
    const { ns } = await readAll(early.next, true);
    assert.deepEqual(ns, [], 'they cannot be read, nor what comes after: so it would stay');

    assert.equal(await raiseFeed(database.sql), true);
    const all = await readAll(FEED_START);
    assert.deepEqual(
      all.ns,
      Array.from({ length: count }, (_, n) => n),
    );
    const end = await findFeedEnd(database.sql);
    const next = await append();
    assert.deepEqual((await readAll(all.next)).ns, [next], 'from behind the last one');
    assert.deepEqual((await readAll(end)).ns, [next], 'from the end');
    assert.ok((await readAll(FEED_START)).ns.length > from);
    assert.equal(await raiseFeed(database.sql), false);
  });

test('a reader whose place is behind all events, of a busier cluster, sees what comes in a younger one', async () => {
  const { next } = await readAll(FEED_START);
  // Transactions that appended nothing: readers are given the place up to which there is nothing.
  const ahead = { ...next, xid: String(BigInt(next.xid) + 1_000_000_000n) };
  await database.sql`UPDATE feed_cluster SET system_identifier = system_identifier + 1`;
  assert.equal(await raiseFeed(database.sql), true);
  const n = await append();
  assert.deepEqual((await readAll(ahead)).ns, [n]);
  assert.equal(await raiseFeed(database.sql), false);
});

test('a reader of a log that goes on from an earlier point sees what comes', async () => {
  const { next } = await readAll(FEED_START);
  const ahead = { ...next, xid: String(BigInt(next.xid) + 1_000_000_000n) };
  await database.sql`UPDATE feed_cluster SET timeline = timeline - 1`;
  assert.equal(await raiseFeed(database.sql), true);
  const n = await append();
  assert.deepEqual((await readAll(ahead)).ns, [n]);
  assert.equal(await raiseFeed(database.sql), false);
});

test('a log that is raised twice without an event in between goes on behind every place that was given', async () => {
  await database.sql`UPDATE feed_cluster SET system_identifier = system_identifier + 1`;
  assert.equal(await raiseFeed(database.sql), true);
  const given = await findFeedEnd(database.sql);
  const { next } = await readAll(given);
  await database.sql`UPDATE feed_cluster SET system_identifier = system_identifier + 1`;
  assert.equal(await raiseFeed(database.sql), true);
  const n = await append();
  // In the clusters between, as many transactions as in a younger one never were.
  const ahead = { ...next, xid: String(BigInt(next.xid) + 1_000_000_000n) };
  assert.deepEqual((await readAll(ahead)).ns, [n]);
});

test('a server that does not tell its timeline is taken for the one that it was', async () => {
  await database.sql`UPDATE feed_cluster SET timeline = NULL`;
  assert.equal(await raiseFeed(database.sql), false);
  const [row] = await database.sql`SELECT timeline, mailgress_timeline() AS here FROM feed_cluster`;
  assert.ok(row?.here >= 1);
  assert.equal(row?.timeline, row?.here);
});

test('of several processes that start at once one raises it, and what they write then is behind the old', async () => {
  await moveFromBusierCluster();
  const old = count;
  const raised = await Promise.all(
    Array.from({ length: 6 }, async () => {
      const isRaised = await raiseFeed(database.sql);
      await append();
      return isRaised;
    }),
  );
  assert.equal(raised.filter(Boolean).length, 1);
  const { ns } = await readAll(FEED_START);
  assert.deepEqual(
    ns.slice(0, old),
    Array.from({ length: old }, (_, n) => n),
  );
  assert.deepEqual(
    ns.slice(old).toSorted((a, b) => a - b),
    Array.from({ length: 6 }, (_, n) => old + n),
  );
});

test('a copy takes along what places were raised by, though no event has one of them', async () => {
  await database.sql`UPDATE feed_cluster SET system_identifier = system_identifier + 1`;
  assert.equal(await raiseFeed(database.sql), true);
  const given = await findFeedEnd(database.sql);
  const target = await createTestDatabase();
  try {
    await copyDatabase(url, target.url, () => {}, { force: true });
    const copied = openDatabase(target.url);
    await copied.sql`UPDATE feed_cluster SET system_identifier = system_identifier + 1`;
    assert.equal(await raiseFeed(copied.sql), true);
    // Far enough that numbers of a younger cluster are behind it too.
    const ahead = { ...given, xid: String(BigInt(given.xid) + 1_000_000_000n) };
    assert.ok(compareFeedPositions(await findFeedEnd(copied.sql), ahead) > 0);
    await copied.close();
  } finally {
    await target.drop();
  }
});

test('a process that lost its connections looks again, for another server may have taken over', async () => {
  const service = await startTestService({ databaseUrl: url, dispatch: false });
  try {
    await database.sql`UPDATE feed_cluster SET timeline = timeline - 1`;
    await query(
      url,
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
       WHERE datname = current_database() AND pid <> pg_backend_pid()`,
    );
    await waitUntil('it is raised', async () => {
      const [row] = await query(url, 'SELECT timeline = mailgress_timeline() AS "isKnown" FROM feed_cluster');
      return row?.isKnown === true;
    });
  } finally {
    await service.stop();
  }
});
