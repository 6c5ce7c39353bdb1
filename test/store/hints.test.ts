import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import postgres, { type Sql } from 'postgres';
import type { Id } from '../../src/core/ids.ts';
import { type Database, openDatabase } from '../../src/store/database.ts';
import { createHintRecorder, GMAIL_CHANNEL } from '../../src/store/hints.ts';
import { createTestDatabase } from '../support/database.ts';
import { waitUntil } from '../support/embedded-place.ts';
import { addGmailSource, readHint } from '../support/gmail-source.ts';

let sql: Sql;
let database: Database;
let neighbour: Database;
let dispose: () => Promise<void>;
before(async () => {
  const { url, drop } = await createTestDatabase();
  sql = postgres(url, { max: 2, onnotice: () => {} });
  database = openDatabase(url);
  neighbour = openDatabase(url);
  dispose = async () => {
    await Promise.all([sql.end(), database.close(), neighbour.close()]);
    await drop();
  };
});
after(() => dispose());

let accounts = 0;
const newAccount = () => `account-${++accounts}@example.com`;
const recorder = (options: Partial<Parameters<typeof createHintRecorder>[1]> = {}) =>
  createHintRecorder(database.hot, { onHints: () => {}, ...options });
const historyIdOf = async (id: Parameters<typeof readHint>[1]) => (await readHint(sql, id)).historyId;

test('keeps the greatest id, by number and to the digit, and the time of the last', async () => {
  const address = newAccount();
  const id = await addGmailSource(sql, address);
  const hints = recorder();
  const table: [string, string][] = [
    ['9', '9'],
    ['10', '10'],
    ['9', '10'],
    ['9007199254740993', '9007199254740993'],
    ['9007199254740992', '9007199254740993'],
    ['123456789012345678901', '123456789012345678901'],
    ['18446744073709551615', '123456789012345678901'],
    ['123456789012345678902', '123456789012345678902'],
    ['9'.repeat(40), '9'.repeat(40)],
  ];
  let lastAt = 0;
  for (const [historyId, kept] of table) {
    assert.equal(await hints.submit({ address, historyId }), 1);
    const hint = await readHint(sql, id);
    assert.equal(hint.historyId, kept);
    assert.ok(Number(hint.at) >= lastAt);
    lastAt = Number(hint.at);
  }
});

test('begins the looks anew', async () => {
  const address = newAccount();
  const id = await addGmailSource(sql, address);
  await sql`UPDATE sources SET lag_looks = 3 WHERE account = ${address}`;
  await recorder().submit({ address, historyId: '1' });
  assert.equal((await readHint(sql, id)).lagLooks, 0);
});

test('reaches every source of the account, and no other', async () => {
  const address = newAccount();
  const other = await addGmailSource(sql, newAccount());
  const ids: Id<'src'>[] = [];
  for (const tenant of ['default', 'acme', 'umbrella']) ids.push(await addGmailSource(sql, address, tenant));
  await sql`
    INSERT INTO sources (id, mailbox_id, kind, account, state)
    SELECT gen_random_uuid(), mailbox_id, 'imap', account, 'idle' FROM sources WHERE account = ${address} LIMIT 1`;

  const hints = recorder();
  const counts = await Promise.all([
    hints.submit({ address, historyId: '5' }),
    hints.submit({ address: 'nobody@example.com', historyId: '5' }),
    hints.submit({ address, historyId: '4' }),
  ]);
  assert.deepEqual(counts, [3, 0, 3]);
  for (const id of ids) assert.equal(await historyIdOf(id), '5');
  assert.equal(await historyIdOf(other), null);
  const [imap] = await sql`
    SELECT hinted_at FROM sources WHERE account = ${address} AND kind = 'imap'`;
  assert.equal(imap?.hinted_at, null);
});

test('takes addresses of any letters', async () => {
  const hints = recorder();
  for (const address of [
    'a"b\\c@example.com',
    'null',
    "o'hara@example.com",
    '{a,b}@example.com',
    'é@example.com',
  ]) {
    const id = await addGmailSource(sql, address);
    assert.equal(await hints.submit({ address, historyId: '7' }), 1, address);
    assert.equal(await historyIdOf(id), '7');
  }
});

test('tells of sources that were hinted: here, and on the channel when asked', async () => {
  const address = newAccount();
  await addGmailSource(sql, address);
  let told = 0;
  let notified = 0;
  await sql.listen(GMAIL_CHANNEL, () => notified++);
  const silent = recorder({ onHints: () => told++ });
  await silent.submit({ address: 'nobody@example.com', historyId: '1' });
  assert.equal(told, 0);
  await silent.submit({ address, historyId: '1' });
  assert.equal(told, 1);

  const loud = recorder({ notifyChannel: GMAIL_CHANNEL });
  await loud.submit({ address: 'nobody@example.com', historyId: '1' });
  await loud.submit({ address, historyId: '1' });
  await waitUntil('it is notified', () => notified > 0);
  assert.equal(notified, 1);
});

test('hints in flight share a statement: never more than one each', async () => {
  const addresses = Array.from({ length: 20 }, newAccount);
  for (const address of addresses) await addGmailSource(sql, address);
  let statements = 0;
  const counting = new Proxy(database.hot, {
    apply(target, self, args) {
      statements++;
      return Reflect.apply(target, self, args);
    },
  });
  const hints = createHintRecorder(counting, { onHints: () => {} });
  await hints.submit({ address: addresses[0] ?? '', historyId: '1' });
  assert.equal(statements, 1);
  await Promise.all(
    Array.from({ length: 500 }, (_, n) =>
      hints.submit({ address: addresses[n % 20] ?? '', historyId: `${n}` }),
    ),
  );
  assert.ok(statements <= 4, `${statements}`);
});

describe('what is kept never goes down', () => {
  before(async () => {
    await sql.unsafe(`
      CREATE FUNCTION refuse_less() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        IF NEW.hinted_history_id IS NULL OR NEW.hinted_history_id < OLD.hinted_history_id OR NEW.hinted_at < OLD.hinted_at
        THEN RAISE EXCEPTION 'went back from % to %', OLD.hinted_history_id, NEW.hinted_history_id;
        END IF;
        RETURN NEW;
      END $$;
      CREATE TRIGGER refuse_less BEFORE UPDATE ON sources FOR EACH ROW
        WHEN (OLD.hinted_history_id IS NOT NULL) EXECUTE FUNCTION refuse_less();`);
  });

  test('whatever comes, in whatever order, through several processes', async () => {
    const step = fc.record({
      account: fc.nat(2),
      historyId: fc.oneof(fc.bigInt(0n, 50n), fc.bigInt(0n, 10n ** 25n)),
      process: fc.nat(2),
      /** Whether what came before is waited for. */
      waits: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 60 }), async (steps) => {
        const addresses = [newAccount(), newAccount(), newAccount()];
        const ids = [];
        for (const address of addresses) {
          ids.push([await addGmailSource(sql, address), await addGmailSource(sql, address, 'acme')]);
        }
        const processes = [recorder(), recorder(), createHintRecorder(neighbour.hot, { onHints: () => {} })];
        const greatest = new Map<string, bigint>();
        const underWay: Promise<number>[] = [];
        for (const { account, historyId, process, waits } of steps) {
          const address = addresses[account] ?? '';
          const before = greatest.get(address);
          if (before === undefined || historyId > before) greatest.set(address, historyId);
          const submitted = processes[process]?.submit({ address, historyId: `${historyId}` });
          assert.ok(submitted);
          underWay.push(submitted);
          if (waits) await submitted;
        }
        assert.ok((await Promise.all(underWay)).every((count) => count === 2));
        for (const [index, address] of addresses.entries()) {
          const kept = greatest.get(address)?.toString() ?? null;
          for (const id of ids[index] ?? []) assert.equal(await historyIdOf(id), kept);
        }
      }),
      { numRuns: 60 },
    );
  });
});
