import assert from 'node:assert/strict';
import { after, beforeEach, describe, test } from 'node:test';
import postgres from 'postgres';
import { uuidOf } from '../../src/core/ids.ts';
import { forgetWorker, reportWorker } from '../../src/store/workers.ts';
import { createTestDatabase } from '../support/database.ts';
import { addImapSource, addMailbox } from '../support/imap-source.ts';

const database = await createTestDatabase();
after(() => database.drop());
const sql = postgres(database.url, { max: 4, onnotice: () => {} });
after(() => sql.end({ timeout: 5 }));
beforeEach(async () => {
  await sql`DELETE FROM sources`;
  await sql`DELETE FROM workers`;
});

const report = (holder: string, capacity = 100) => reportWorker(sql, { holder, capacity, held: 0 });

async function addSources(count: number): Promise<void> {
  for (let n = 0; n < count; n++) await addImapSource(sql, { account: null });
}

async function die(holder: string): Promise<void> {
  await sql`UPDATE workers SET seen_at = now() - interval '21 seconds' WHERE holder = ${holder}`;
}

describe('the share of a worker', () => {
  test('is all there are while it is alone, as far as it can hold them', async () => {
    await addSources(7);
    assert.equal(await report('a'), 7);
    assert.equal(await report('a', 5), 5);
  });

  test('is the same for all, and together they hold all', async () => {
    await addSources(7);
    await report('a');
    assert.deepEqual([await report('b'), await report('a')], [4, 4]);
    assert.deepEqual([await report('c'), await report('b'), await report('a')], [3, 3, 3]);
  });

  test('goes by what each can hold', async () => {
    await addSources(8);
    await report('small', 10);
    assert.deepEqual([await report('large', 30), await report('small', 10)], [6, 2]);
  });

  test('grows when another says goodbye, or has not been seen for 20 s', async () => {
    await addSources(8);
    for (const holder of ['a', 'b', 'c']) await report(holder);
    await die('b');
    assert.equal(await report('a'), 4);
    await forgetWorker(sql, 'c');
    assert.equal(await report('a'), 8);
  });

  test('is not lessened by one that takes one source alone', async () => {
    await addSources(6);
    await report('a');
    assert.equal(await report('one', 0), 0);
    assert.equal(await report('a'), 6);
    await forgetWorker(sql, 'a');
    assert.equal(await report('one', 0), 0);
  });

  test('counts what is wanted and waits for nobody, and a standby when it is needed', async () => {
    await addSources(1);
    for (const columns of [{ is_wanted: false }, { state: 'needs_reauth' }, { state: 'disabled' }]) {
      const { id } = await addImapSource(sql, { account: null });
      await sql`UPDATE sources SET ${sql(columns)} WHERE id = ${uuidOf(id)}`;
    }
    assert.equal(await report('a'), 1);
    const mailboxId = await addMailbox(sql);
    const script = await addImapSource(sql, { account: null, mailboxId });
    await sql`UPDATE sources SET kind = 'apps-script', last_proven_alive_at = now() WHERE id = ${uuidOf(script.id)}`;
    await addImapSource(sql, { account: null, mailboxId, settings: { standby: true } });
    assert.equal(await report('a'), 1);
    await sql`UPDATE sources SET last_proven_alive_at = now() - interval '1 hour' WHERE id = ${uuidOf(script.id)}`;
    assert.equal(await report('a'), 2);
  });
});
