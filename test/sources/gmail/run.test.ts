import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLimit } from '../../../src/core/limit.ts';
import type { Gmail, HistoryPage } from '../../../src/sources/gmail/client.ts';
import { GmailError } from '../../../src/sources/gmail/gmail-error.ts';
import { type RunResult, type RunSource, type RunTools, runSource } from '../../../src/sources/gmail/run.ts';

/*
 * When a source is looked at next, by what its look found. Gmail and the store are as bare as the answers that a
 * mailbox without mail needs; everything that has mail is tested against the real ones.
 */

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const NOW = new Date('2026-11-20T12:00:00.000Z');
/** Of 21 digits, so that none of them may get lost. */
const CURSOR = '179519510175300000017';
const NEWER = '179519510175300000018';

const SOURCE: RunSource = {
  account: 'ada@example.com',
  state: 'idle',
  failures: 0,
  cursor: CURSOR,
  hintedHistoryId: null,
  lagLooks: 0,
  settlingCursor: null,
  settlingAt: null,
  syncedAt: new Date(NOW.getTime() - MINUTE_MS),
  auditedAt: new Date(NOW.getTime() - HOUR_MS),
  createdAt: new Date(NOW.getTime() - 24 * HOUR_MS),
  watch: {
    expiresAt: new Date(NOW.getTime() + 144 * HOUR_MS),
    error: null,
    dueAt: new Date(NOW.getTime() + 20 * HOUR_MS),
  },
  settings: {},
};

type Kept = { messageIds: readonly string[]; from: string; to: string };

async function run(
  source: Partial<RunSource>,
  answer: Partial<HistoryPage> | GmailError | (Partial<HistoryPage> | GmailError)[],
  tools: Partial<Pick<RunTools, 'random' | 'topic' | 'now' | 'isPassing'>> = {},
): Promise<RunResult & { kept: Kept[] }> {
  const kept: Kept[] = [];
  const answers = [answer].flat();
  // The casts hold as long as a run asks for nothing else of a mailbox without mail.
  const gmail = {
    async history() {
      const next = answers.length > 1 ? answers.shift() : answers[0];
      if (next instanceof GmailError) throw next;
      const page = { messageIds: [], lastRecordId: undefined, nextPageToken: undefined, newestId: CURSOR };
      return { ...page, ...next };
    },
  } as Partial<Gmail> as Gmail;
  const store = {
    async keepHistoryPage(page: Kept) {
      kept.push(page);
      return true;
    },
    findOpenGaps: async () => [],
    findDueStubs: async () => [],
    closeGaps: async () => {},
  } as Partial<RunTools['store']> as RunTools['store'];
  const result = await runSource(
    { ...SOURCE, ...source },
    {
      store,
      openGmail: () => gmail,
      take: () => assert.fail('there is no mail'),
      limit: createLimit(1),
      signal: AbortSignal.timeout(5000),
      now: () => NOW,
      budgetMs: 60_000,
      topic: 'projects/p/topics/t',
      random: () => 0.5,
      reconnectUrl: () => 'https://mail.example.com/connect',
      isPassing: () => false,
      ...tools,
    },
  );
  return { ...result, kept };
}

test('where Gmail pushes there is a look after 10 minutes of silence, with a jitter', async () => {
  const waits = [];
  for (const draw of [0, 1]) waits.push((await run({}, {}, { random: () => draw })).dueInMs);
  assert.deepEqual(waits, [9 * MINUTE_MS, 10 * MINUTE_MS]);
});

test('where nobody pushes there is one each minute', async () => {
  assert.equal((await run({}, {}, { topic: undefined, random: () => 1 })).dueInMs, MINUTE_MS);
});

test('a hint ahead of history is looked at again after 3, 10 and 30 seconds, then with the others', async () => {
  const waits = [];
  let lagLooks = 0;
  for (let look = 0; look < 5; look++) {
    const result = await run({ hintedHistoryId: NEWER, lagLooks }, {}, { random: () => 1 });
    ({ lagLooks } = result);
    waits.push(result.dueInMs / SECOND_MS);
    assert.equal(result.state, 'idle');
  }
  assert.deepEqual(waits, [3, 10, 30, 600, 600]);
});

test('a hint that history has reached is not looked at again', async () => {
  for (const hintedHistoryId of [CURSOR, '1']) {
    const { dueInMs, lagLooks } = await run({ hintedHistoryId }, {}, { random: () => 1 });
    assert.deepEqual([dueInMs, lagLooks], [10 * MINUTE_MS, 0]);
  }
  const caught = await run({ hintedHistoryId: NEWER }, { lastRecordId: NEWER }, { random: () => 1 });
  assert.equal(caught.dueInMs, 10 * MINUTE_MS);
  assert.deepEqual(caught.kept, [{ messageIds: [], from: CURSOR, to: NEWER }]);
});

test('hints are compared to their last digit', async () => {
  // As doubles, the two are one number.
  assert.equal(Number(CURSOR), Number(NEWER));
  assert.equal((await run({ hintedHistoryId: NEWER }, {})).dueInMs, 3 * SECOND_MS);
});

test('a quiet mailbox adopts the newest id of history an hour after it saw it first', async () => {
  const first = await run({}, { newestId: NEWER });
  assert.deepEqual(first.settling, { cursor: NEWER, at: NOW });
  assert.deepEqual(first.kept, []);

  const at = new Date(NOW.getTime() - HOUR_MS + 1);
  const early = await run({ settlingCursor: NEWER, settlingAt: at }, { newestId: `${NEWER}9` });
  assert.deepEqual(early.settling, { cursor: NEWER, at });
  assert.deepEqual(early.kept, []);

  const settlingAt = new Date(NOW.getTime() - HOUR_MS);
  const due = await run({ settlingCursor: NEWER, settlingAt }, { newestId: `${NEWER}9` });
  // The one seen an hour ago, not the one of now.
  assert.deepEqual(due.kept, [{ messageIds: [], from: CURSOR, to: NEWER }]);
  assert.equal(due.settling, null);
});

test('what turns up meanwhile begins the hour anew', async () => {
  const settled = { settlingCursor: NEWER, settlingAt: new Date(NOW.getTime() - 2 * HOUR_MS) };
  const found = await run(settled, { lastRecordId: NEWER, newestId: `${NEWER}9` });
  assert.deepEqual(found.kept, [{ messageIds: [], from: CURSOR, to: NEWER }]);
  assert.equal(found.settling, null);
  const none = await run(settled, { newestId: CURSOR });
  assert.deepEqual([none.kept, none.settling], [[], null]);
});

test('what fails is looked at again sooner at first, and each 5 minutes at last', async () => {
  const waits = [];
  const states = [];
  for (let failures = 0; failures < 10; failures++) {
    const result = await run({ failures }, new GmailError('unavailable', 'Gmail answers 503'));
    waits.push(result.dueInMs / SECOND_MS);
    states.push(result.state);
    assert.equal(result.failures, failures + 1);
    assert.equal(result.isComplete, false);
    assert.equal(result.isAlive, false);
  }
  assert.deepEqual(waits, [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
  assert.deepEqual(states, [...Array(7).fill('backoff'), 'error', 'error', 'error']);
});

test('a source in error stays so until a look succeeds', async () => {
  const failed = await run({ state: 'error', failures: 0 }, new GmailError('unavailable', 'away'));
  assert.equal(failed.state, 'error');
  const well = await run({ state: 'error', failures: 12 }, {});
  assert.deepEqual([well.state, well.reason, well.failures], ['idle', null, 0]);
});

test('a look that got somewhere before it failed waits as after a first failure', async () => {
  const page = { lastRecordId: NEWER, nextPageToken: '2' };
  const broken = await run({ failures: 6 }, [page, new GmailError('unavailable', 'Gmail answers 503')]);
  assert.deepEqual([broken.failures, broken.dueInMs, broken.isAlive], [1, 2 * SECOND_MS, true]);
  const limited = await run({ failures: 6 }, [page, new GmailError('slow_down', 'Gmail answers 429')]);
  assert.equal(limited.slowForMs, 30 * SECOND_MS);
});

test('a limit is waited out as long as Gmail says, and longer each time it says nothing', async () => {
  const slowFor = async (failures: number, retryAfterMs?: number) =>
    (await run({ failures }, new GmailError('slow_down', 'Gmail answers 429', retryAfterMs))).slowForMs;
  assert.equal(await slowFor(0), 30 * SECOND_MS);
  assert.equal(await slowFor(1), MINUTE_MS);
  assert.equal(await slowFor(20), HOUR_MS);
  // A time that is named is taken at its word, once.
  assert.equal(await slowFor(0, 2000), 2000);
  assert.equal(await slowFor(0, 0), SECOND_MS);
  assert.equal(await slowFor(1, 2000), MINUTE_MS);
  assert.equal(await slowFor(0, 10 * MINUTE_MS), 10 * MINUTE_MS);
  assert.equal(await slowFor(0, 1000 * HOUR_MS), 24 * HOUR_MS);
});

test('a consent that is gone waits for a person, with the way back in the reason', async () => {
  const result = await run({}, new GmailError('needs_reauth', 'invalid_grant'));
  assert.equal(result.state, 'needs_reauth');
  assert.match(result.reason ?? '', /invalid_grant.*https:\/\/mail\.example\.com\/connect/);
});

test('what a person has to set right is looked at each quarter of an hour', async () => {
  const result = await run({}, new GmailError('not_allowed', 'the consent lacks gmail.readonly'));
  assert.deepEqual([result.state, result.dueInMs], ['error', 15 * MINUTE_MS]);
});

test('a fault of ours shows at the source, without its words; what passes by itself does not', async () => {
  const broken = { lastRecordId: 'no digits' };
  const first = await run({}, broken);
  assert.deepEqual([first.state, first.failures], ['backoff', 1]);
  assert.match(first.reason ?? '', /fault of ours/);
  assert.equal((await run({ failures: 7 }, broken)).state, 'error');
  await assert.rejects(run({}, broken, { isPassing: () => true }), SyntaxError);
});
