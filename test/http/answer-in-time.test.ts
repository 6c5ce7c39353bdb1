import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { Hono } from 'hono';
import { answerInTime } from '../../src/http/answer-in-time.ts';
import { type Database, openDatabase } from '../../src/store/database.ts';
import { createTestDatabase } from '../support/database.ts';

const DEADLINE_MS = 300;

let database: Database;
let drop: () => Promise<void>;
before(async () => {
  const created = await createTestDatabase();
  drop = created.drop;
  database = openDatabase(created.url, { deadlineMs: DEADLINE_MS });
});
after(async () => {
  await database.close();
  await drop();
});

/** A request that is late, while the database works at something that takes longer. @returns whether that work was done. */
async function isSpared(path: string, method = 'GET'): Promise<boolean> {
  const app = new Hono();
  const errors: unknown[] = [];
  app.onError((error, c) => {
    errors.push((error as { code?: string }).code);
    return c.body(null, 503);
  });
  app.use(answerInTime(database)).all('*', async (c) => {
    await wait(DEADLINE_MS * 2);
    return c.body(null, 200);
  });
  // Longer than the deadline and the grace after it together, on a connection of its own.
  const work = database.sql`SELECT pg_sleep(1)`.then(
    () => true,
    () => false,
  );
  assert.equal((await app.request(path, { method })).status, 503);
  assert.deepEqual(errors, ['store_unavailable']);
  return work;
}

describe('a request that is late', () => {
  for (const [name, path, method] of [
    ['a search', '/v1/messages?q=word', 'GET'],
    ['a raw mail', '/v1/messages/msg_1/raw', 'GET'],
    ['an attachment', '/v1/messages/msg_1/attachments/0', 'GET'],
    ['a change', '/v1/mailboxes/mbx_1', 'DELETE'],
  ] as const) {
    test(`and is ${name} ends no connection`, async () => assert.ok(await isSpared(path, method)));
  }

  test('and is quick as a rule ends connections on which nothing moves', async () => {
    assert.equal(await isSpared('/v1/messages'), false);
  });
});
