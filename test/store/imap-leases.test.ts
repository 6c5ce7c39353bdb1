import assert from 'node:assert/strict';
import { after, beforeEach, describe, test } from 'node:test';
import postgres from 'postgres';
import { createId, type Id, uuidOf } from '../../src/core/ids.ts';
import {
  type ClaimedImapSource,
  claimImapSources,
  endSession,
  type ImapClaim,
  readHeldSources,
} from '../../src/store/imap-leases.ts';
import { createHolder } from '../../src/store/source-leases.ts';
import { createTestDatabase } from '../support/database.ts';
import { addImapSource, addMailbox } from '../support/imap-source.ts';

const database = await createTestDatabase();
after(() => database.drop());
const sql = postgres(database.url, { max: 4, onnotice: () => {} });
after(() => sql.end({ timeout: 5 }));
beforeEach(() => sql`DELETE FROM sources`);

async function claim(change: Partial<ImapClaim> = {}): Promise<ClaimedImapSource[]> {
  const { claimed } = await claimImapSources(sql, {
    holder: createHolder(),
    limit: 100,
    budgets: { generic: 2 },
    ...change,
  });
  return claimed;
}

const idsOf = (claimed: readonly ClaimedImapSource[]) => claimed.map(({ lease }) => lease.sourceId).sort();

async function read(id: Id<'src'>) {
  const [row] = await sql`
    SELECT state, reason, lease_owner IS NOT NULL AS "isHeld",
           extract(epoch FROM due_at - now())::float8 AS "dueInS" FROM sources WHERE id = ${uuidOf(id)}`;
  return row ?? assert.fail('no such source');
}

async function set(id: Id<'src'>, columns: Record<string, unknown>): Promise<void> {
  await sql`UPDATE sources SET ${sql(columns)} WHERE id = ${uuidOf(id)}`;
}

const minutesAgo = (minutes: number) => new Date(Date.now() - minutes * 60_000);

describe('a claim', () => {
  test('takes what is wanted and due and waits for nobody, and no other', async () => {
    const make = () => addImapSource(sql, { account: null });
    const due = await make();
    const others: Record<string, unknown>[] = [
      { is_wanted: false },
      { state: 'needs_reauth' },
      { state: 'disabled' },
      { due_at: new Date(Date.now() + 60_000) },
      { slow_until: new Date(Date.now() + 60_000) },
      { lease_until: new Date(Date.now() + 60_000) },
      { kind: 'gmail' },
    ];
    for (const columns of others) await set((await make()).id, columns);
    const expired = await make();
    await set(expired.id, { lease_until: minutesAgo(1), slow_until: minutesAgo(1) });
    assert.deepEqual(idsOf(await claim()), [due.id, expired.id].sort());
    assert.deepEqual(await claim(), []);
  });

  test('takes the longest due first, and says whether there may be more', async () => {
    const made = await Promise.all(
      [3, 9, 1, 7].map(async (minutes) => {
        const { id } = await addImapSource(sql, { account: null });
        await set(id, { due_at: minutesAgo(minutes) });
        return { id, minutes };
      }),
    );
    const order = made.sort((a, b) => b.minutes - a.minutes).map(({ id }) => id);
    const first = await claimImapSources(sql, { holder: createHolder(), limit: 3, budgets: {} });
    assert.deepEqual([idsOf(first.claimed), first.hasMore], [order.slice(0, 3).sort(), true]);
    const second = await claimImapSources(sql, { holder: createHolder(), limit: 3, budgets: {} });
    assert.deepEqual([idsOf(second.claimed), second.hasMore], [order.slice(3), false]);
  });

  test('of one source alone leaves the others', async () => {
    const [one, other] = [
      await addImapSource(sql, { account: null }),
      await addImapSource(sql, { account: null }),
    ];
    assert.deepEqual(idsOf(await claim({ only: one.id })), [one.id]);
    assert.deepEqual(await claim({ only: one.id }), []);
    assert.deepEqual(idsOf(await claim()), [other.id]);
  });

  test('by many at once gives each source to one', async () => {
    const made = await Promise.all(Array.from({ length: 40 }, () => addImapSource(sql, { account: null })));
    const claims = await Promise.all(Array.from({ length: 8 }, () => claim({ limit: 10 })));
    let all = claims.flat();
    // What others had locked was skipped.
    for (let more = await claim(); more.length > 0; more = await claim()) all = [...all, ...more];
    assert.deepEqual(idsOf(all), made.map(({ id }) => id).sort());
  });
});

describe('the connections of an account', () => {
  const at = (host: string, account = 'me@example.com') => ({ account, settings: { host } });

  test('are given up to its budget; who comes later waits, and its reason says for what', async () => {
    const made = await Promise.all(
      Array.from({ length: 3 }, () => addImapSource(sql, at('imap.example.com'))),
    );
    const [first, second, ...none] = await claim();
    assert.ok(first !== undefined && second !== undefined);
    assert.deepEqual(none, []);
    const waiting = made.find(({ id }) => ![first, second].some(({ lease }) => lease.sourceId === id));
    assert.ok(waiting !== undefined);
    const { reason, isHeld, dueInS } = await read(waiting.id);
    assert.deepEqual([reason, isHeld], ['all connections that its account may have are in use', false]);
    assert.ok(dueInS > 10 && dueInS <= 30, `due in ${dueInS} s`);

    await set(waiting.id, { due_at: new Date() });
    assert.deepEqual(await claim(), [], 'both are in use');
    await endSession(sql, first, RELEASED);
    await set(first.lease.sourceId, { is_wanted: false });
    await set(waiting.id, { due_at: minutesAgo(1) });
    assert.deepEqual(idsOf(await claim()), [waiting.id]);
  });

  test('are its own: other accounts, servers and providers have theirs', async () => {
    const of = [
      at('imap.example.com'),
      at('imap.example.com'),
      at('imap.example.com', 'other@example.com'),
      at('imap.example.net'),
      { account: 'me@example.com', settings: { provider: 'gmail' } },
      { account: 'me@example.com', settings: { provider: 'gmail' } },
    ];
    const made = await Promise.all(of.map((input) => addImapSource(sql, input)));
    const claimed = await claim({ budgets: { generic: 2, gmail: 1 } });
    assert.equal(claimed.length, made.length - 1);
    const waiting = made.filter(({ id }) => !idsOf(claimed).includes(id));
    assert.deepEqual(
      waiting.map(({ id }) => made.findIndex((one) => one.id === id) >= 4),
      [true],
    );
  });

  test('are as many as its sources have folders that idle by themselves', async () => {
    const idling = (...paths: string[]) => ({
      account: 'me@example.com',
      settings: {
        host: 'imap.example.com',
        folders: [
          { role: 'inbox', idle: true },
          { path: 'Asked' },
          ...paths.map((path) => ({ path, idle: true })),
        ],
      },
    });
    const budgets = { generic: 3 };
    const many = await addImapSource(sql, idling('A', 'B', 'C', 'D'));
    assert.deepEqual(idsOf(await claim({ budgets })), [many.id], 'it has no more than there are');
    const one = await addImapSource(sql, idling());
    assert.deepEqual(await claim({ budgets }), [], 'all are in use');
    await sql`DELETE FROM sources WHERE id = ${uuidOf(many.id)}`;

    // Of those that come together, who wants few keeps its place from none.
    const two = await addImapSource(sql, idling('A'));
    const three = await addImapSource(sql, idling('A', 'B'));
    for (const { id } of [one, two, three]) await set(id, { due_at: minutesAgo(1) });
    assert.deepEqual(idsOf(await claim({ budgets })), [one.id, two.id].sort());
  });

  test('of Gmail are counted beside All Mail, which has the first', async () => {
    const settings = {
      provider: 'gmail',
      folders: [
        { role: 'all', idle: true },
        { role: 'inbox', idle: true },
      ],
    };
    const both = await addImapSource(sql, { account: 'me@gmail.com', settings });
    assert.deepEqual(idsOf(await claim({ budgets: { gmail: 2 } })), [both.id]);
    await addImapSource(sql, { account: 'me@gmail.com', settings: { provider: 'gmail' } });
    assert.deepEqual(await claim({ budgets: { gmail: 2 } }), [], 'both are in use');
  });

  test('are the same whether its host is named or known by the provider', async () => {
    const of = [
      { account: 'me@example.com', settings: { provider: 'gmail' } },
      { account: 'me@example.com', settings: { provider: 'gmail', host: 'IMAP.gmail.com' } },
    ];
    for (const input of of) await addImapSource(sql, input);
    const [held, ...others] = await claim({ budgets: { gmail: 1 } });
    assert.ok(held !== undefined);
    assert.deepEqual(others, []);
    await endSession(sql, held, { ...RELEASED, state: 'backoff', slowForMs: 60_000 });
    await sql`UPDATE sources SET due_at = now()`;
    assert.deepEqual(await claim({ budgets: { gmail: 1 } }), [], 'patience is for both');
  });

  test('that is asked for patience waits with all its sources', async () => {
    const [one, other] = await Promise.all([
      addImapSource(sql, at('imap.example.com')),
      addImapSource(sql, at('imap.example.com')),
    ]);
    const [held] = await claim({ limit: 1 });
    assert.ok(held !== undefined);
    await endSession(sql, held, { ...RELEASED, state: 'backoff', slowForMs: 60_000 });
    assert.deepEqual(await claim(), []);
    for (const { id } of [one, other]) await set(id, { slow_until: minutesAgo(1) });
    assert.equal((await claim()).length, 2);
  });
});

const RELEASED = {
  state: 'disconnected',
  reason: null,
  fault: null,
  failures: 0,
  dueInMs: 0,
  slowForMs: null,
} as const;

describe('a standby', () => {
  /** Another source of its mailbox, last proven alive so many minutes ago. */
  type Other = Record<string, unknown> & { kind: string; minutes: number | null };

  async function makeStandby(others: readonly Other[]): Promise<Id<'src'>> {
    const mailboxId = await addMailbox(sql);
    for (const { kind, minutes, ...columns } of others) {
      const other = await addImapSource(sql, { account: `${createId('src')}@example.com`, mailboxId });
      const last = minutes === null ? null : minutesAgo(minutes);
      await set(other.id, { kind, last_proven_alive_at: last, state: 'idle', ...columns });
      // Not to be claimed here.
      await set(other.id, { lease_until: new Date(Date.now() + 3_600_000) });
    }
    const { id } = await addImapSource(sql, { account: null, mailboxId, settings: { standby: true } });
    return id;
  }

  const script = (minutes: number | null, heartbeat: object = { version: '1.0.0' }) => ({
    kind: 'apps-script',
    minutes,
    heartbeat: sql.json(heartbeat as never),
  });
  const gmail = (minutes: number, columns: object = {}) => ({ kind: 'gmail', minutes, ...columns });
  const imap = (minutes: number, columns: object = {}) => ({ kind: 'imap', minutes, ...columns });

  const asleep: [string, Other][] = [
    ['a script that was heard of 45 minutes ago', script(45)],
    ['a Gmail that was read 24 minutes ago', gmail(24)],
    ['a Gmail that has failed for 9 minutes', gmail(9, { failures: 3 })],
    ['a Gmail of which a look has failed, and that says so', gmail(9, { failures: 1, state: 'error' })],
    ['an imap source that was proven alive 2 minutes ago', imap(2)],
  ];
  for (const [name, other] of asleep)
    test(`sleeps beside ${name}`, async () => {
      const id = await makeStandby([other]);
      await set(id, { state: 'disconnected', reason: 'waits for a worker' });
      assert.deepEqual(await claim(), []);
      const { dueInS, ...row } = await read(id);
      assert.deepEqual({ ...row }, { state: 'standby', reason: null, isHeld: false });
      assert.ok(dueInS > 0 && dueInS <= 10, `looked at again in ${dueInS} s`);
    });

  const awake: [string, Other[]][] = [
    ['nobody', []],
    ['a script that was last heard of 47 minutes ago', [script(47)]],
    ['a script that was never heard of', [script(null)]],
    ['a script that pauses, as it says', [script(1, { paused: true })]],
    ['a script that is stopped', [{ ...script(1), is_wanted: false }]],
    ['a Gmail that has failed for 11 minutes', [gmail(11, { failures: 1 })]],
    ['a Gmail that nobody has read for 26 minutes', [gmail(26)]],
    ['a Gmail whose consent is gone', [gmail(1, { state: 'needs_reauth' })]],
    ['a Gmail that is disabled', [gmail(1, { state: 'disabled' })]],
    ['an imap source that was proven alive 4 minutes ago', [imap(4)]],
    ['an imap source whose password is refused', [imap(1, { state: 'disabled' })]],
    ['a program that sends raw mail', [{ kind: 'raw', minutes: 0 }]],
  ];
  for (const [name, others] of awake)
    test(`reads beside ${name}`, async () => {
      const id = await makeStandby(others);
      const [claimed] = await claim();
      assert.deepEqual(
        [claimed?.lease.sourceId, claimed?.isStandby, claimed?.hasSlept],
        [id, true, true],
        'it slept until now',
      );
    });

  test('sleeps beside a Gmail whose watch holds, and reads once it has lapsed', async () => {
    const id = await makeStandby([gmail(1, { account: 'watched@example.com' })]);
    await sql`INSERT INTO gmail_watches (account, expires_at) VALUES ('watched@example.com', now() + interval '1 day')`;
    assert.deepEqual(await claim(), []);
    await sql`UPDATE gmail_watches SET expires_at = now() - interval '1 minute'`;
    await set(id, { due_at: minutesAgo(1) });
    assert.deepEqual(idsOf(await claim()), [id]);
  });

  test('sleeps while one of several is alive', async () => {
    await makeStandby([script(100), gmail(1)]);
    assert.deepEqual(await claim(), []);
  });

  test('sends no other standby to sleep, and is sent to sleep by none', async () => {
    const mailboxId = await addMailbox(sql);
    const input = { account: null, mailboxId, settings: { standby: true } };
    const both = [await addImapSource(sql, input), await addImapSource(sql, input)].map(({ id }) => id);
    for (const id of both) await set(id, { state: 'idle', last_proven_alive_at: new Date() });
    assert.deepEqual(idsOf(await claim()), both.sort());
  });

  test('that reads is told once another is alive, and another kind of source never is', async () => {
    const mailboxId = await addMailbox(sql);
    const { id: plain } = await addImapSource(sql, { account: null, mailboxId });
    const { id } = await addImapSource(sql, { account: null, mailboxId, settings: { standby: true } });
    const covered = async () =>
      (await readHeldSources(sql, [id, plain])).map(({ sourceId, isCovered }) => [sourceId, isCovered]);
    assert.deepEqual(
      new Map((await covered()) as [string, boolean][]),
      new Map([
        [id, false],
        [plain, false],
      ]),
    );
    await set(plain, { last_proven_alive_at: new Date() });
    assert.deepEqual(
      new Map((await covered()) as [string, boolean][]),
      new Map([
        [id, true],
        [plain, false],
      ]),
    );
  });

  test('does not sleep without being one', async () => {
    const mailboxId = await addMailbox(sql);
    const made = [
      await addImapSource(sql, { account: null, mailboxId }),
      await addImapSource(sql, { account: null, mailboxId }),
    ].map(({ id }) => id);
    for (const id of made) await set(id, { last_proven_alive_at: new Date() });
    assert.deepEqual(idsOf(await claim()), made.sort());
  });
});
