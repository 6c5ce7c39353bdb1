import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { appendFile, copyFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { createId, uuidOf } from '../../src/core/ids.ts';
import { type Database, openDatabase } from '../../src/store/database.ts';
import { FEED_START, type FeedPosition, readFeed } from '../../src/store/feed.ts';
import { raiseFeed } from '../../src/store/feed-places.ts';
import { migrateDatabase } from '../../src/store/migrate.ts';
import { ALL_TENANTS } from '../../src/store/scope.ts';
import { createPlace, waitUntil } from '../support/embedded-place.ts';

/* A cluster that is put back to an earlier point, as PostgreSQL does it: with its own identifier, and a timeline of its own. */

const run = promisify(execFile);

async function append(database: Database, n: number): Promise<void> {
  await database.hot`
    INSERT INTO events (id, type, tenant, data)
    VALUES (${uuidOf(createId('evt'))}, 'source.silent', 'default', ${JSON.stringify({ n })}::text::json)`;
}

async function read(database: Database, after: FeedPosition) {
  const page = await readFeed(database.sql, { scope: ALL_TENANTS, after, types: [], limit: 500 });
  return { ns: page.events.map(({ data }) => JSON.parse(data).n), next: page.next, isBeyond: page.isBeyond };
}

test('a reader who saw what is lost with a restore sees all that comes after it', async () => {
  await using place = await createPlace();
  const backup = join(place.root, 'backup');
  let seen: FeedPosition;
  {
    await using server = await place.open();
    await migrateDatabase(server.url);
    const database = openDatabase(server.url);
    await raiseFeed(database.hot);
    await append(database, 1);
    await database.close();
  }
  await run('cp', ['-a', place.data, backup]);
  {
    await using server = await place.open();
    const database = openDatabase(server.url);
    for (let n = 2; n < 12; n++) await append(database, n);
    const { ns, next } = await read(database, FEED_START);
    assert.deepEqual(ns, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    seen = next;
    await database.close();
  }
  await rm(place.data, { recursive: true });
  await run('cp', ['-a', backup, place.data]);
  await appendFile(join(place.data, 'postgresql.auto.conf'), "restore_command = 'false'\n");
  await copyFile(join(place.data, 'PG_VERSION'), join(place.data, 'recovery.signal'));
  {
    await using server = await place.open();
    const database = openDatabase(server.url);
    await waitUntil('it takes writes', async () => {
      const [row] = await database.sql`SELECT pg_is_in_recovery() AS "isInRecovery"`;
      return row?.isInRecovery === false;
    });
    assert.equal(await raiseFeed(database.hot), true);
    for (let n = 20; n < 40; n++) await append(database, n);
    const { ns, isBeyond } = await read(database, seen);
    assert.deepEqual([ns, isBeyond], [Array.from({ length: 20 }, (_, n) => n + 20), false]);
    assert.equal(await raiseFeed(database.hot), false);
    await database.close();
  }
});
