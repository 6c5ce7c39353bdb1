import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { pino } from 'pino';
import { startFeedWatch } from '../../src/ops/feed-watch.ts';
import { type Database, openDatabase } from '../../src/store/database.ts';
import { createTestDatabase } from '../support/database.ts';
import { query, waitUntil } from '../support/embedded-place.ts';

let database: Database;
let url: string;
let drop: () => Promise<void>;
before(async () => {
  ({ url, drop } = await createTestDatabase());
});
after(() => drop());
beforeEach(() => {
  database = openDatabase(url);
});
afterEach(() => database.close());

/** What is told, as the lines' messages. */
function createLog() {
  const told: string[] = [];
  const log = pino({ base: null }, { write: (line) => void told.push(JSON.parse(line).msg) });
  return { log, told };
}

test('another server that took over behind the same connections is found by a later look', async () => {
  const { log, told } = createLog();
  const watch = await startFeedWatch({ database, log, lookMs: 20 });
  try {
    await query(url, 'UPDATE feed_cluster SET timeline = timeline - 1');
    await waitUntil('it is told', async () => told.length > 0);
  } finally {
    await watch.stop();
  }
  assert.match(told.join(), /^the database has moved/);
});

test('of looks that fail one after the other the first is told, and the first after one that did not', async () => {
  /** It counts by a sequence, which a failure does not take back. */
  const answer = (how: string) =>
    query(
      url,
      `CREATE OR REPLACE FUNCTION mailgress_raise_feed() RETURNS boolean LANGUAGE plpgsql AS $$
       BEGIN PERFORM nextval('looks'); ${how}; END $$`,
    );
  const untilLooked = async (times: number) => {
    const read = async () => Number((await query(url, 'SELECT last_value FROM looks'))[0]?.last_value);
    const before = await read();
    await waitUntil(`${times} looks`, async () => (await read()) >= before + times);
  };
  await query(url, 'CREATE SEQUENCE looks');
  await answer('RETURN false');
  const { log, told } = createLog();
  const watch = await startFeedWatch({ database, log, lookMs: 20 });
  try {
    await answer(`RAISE EXCEPTION 'no look'`);
    await untilLooked(3);
    assert.deepEqual(told, ['could not look whether the log is where it was']);
    await answer('RETURN false');
    await untilLooked(3);
    await answer(`RAISE EXCEPTION 'no look'`);
    await untilLooked(2);
  } finally {
    await watch.stop();
  }
  assert.equal(told.length, 2);
});
