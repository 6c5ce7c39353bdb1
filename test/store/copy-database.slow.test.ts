import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { copyDatabase } from '../../src/store/copy-database.ts';
import { openDatabase } from '../../src/store/database.ts';
import { createMailbox } from '../../src/store/mailboxes.ts';
import { createTestDatabase } from '../support/database.ts';

let source: Awaited<ReturnType<typeof createTestDatabase>>;
let target: Awaited<ReturnType<typeof createTestDatabase>>;
before(async () => {
  [source, target] = await Promise.all([createTestDatabase(), createTestDatabase({ migrated: false })]);
});
after(() => Promise.all([source.drop(), target.drop()]));

/** As a service has it: connections that stay. */
async function connected<T>(url: string, work: () => Promise<T>): Promise<T> {
  const service = openDatabase(url);
  try {
    await service.sql`SELECT 1`;
    return await work();
  } finally {
    await service.close();
  }
}

test('nothing is copied while a service is connected to either side, unless it is forced', async () => {
  const named = (url: string) => `${url}?application_name=mail`;
  for (const [url, which, from, to] of [
    [source.url, /to copy \(1 connections\).*stop each `serve`/, source.url, target.url],
    [target.url, /to copy into \(1 connections\).*--force/, source.url, target.url],
    [named(source.url), /to copy \(1 connections\)/, named(source.url), target.url],
  ] as const) {
    await connected(url, () =>
      assert.rejects(
        copyDatabase(from, to, () => assert.fail('nothing is copied')),
        { code: 'already_running', message: which },
      ),
    );
  }

  await connected(source.url, async () => {
    const { sql, close } = openDatabase(source.url);
    await createMailbox(sql, { tenant: 'default', address: 'ada@example.com', authenticationServers: [] });
    await close();
    const copied: Record<string, number> = {};
    const note = (table: string, rows: number) => {
      copied[table] = rows;
    };
    await copyDatabase(source.url, target.url, note, { force: true });
    assert.equal(copied.mailboxes, 1);
  });
});

test('a service that has just ended is in the way of none', async () => {
  const empty = await createTestDatabase({ migrated: false });
  try {
    await connected(source.url, async () => {});
    await copyDatabase(source.url, empty.url, () => {});
  } finally {
    await empty.drop();
  }
});
