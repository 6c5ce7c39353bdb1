import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Gmail } from '../../../src/sources/gmail/client.ts';
import { GmailError } from '../../../src/sources/gmail/gmail-error.ts';
import { keepWatch, type Watch } from '../../../src/sources/gmail/watch.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const NOW = new Date('2026-11-20T12:00:00.000Z');

const inMs = (ms: number) => new Date(NOW.getTime() + ms);

type Recorded = { expiresAt: Date; dueInMs: number } | { error: string; dueInMs: number };

/** One look at a watch that is due; `answer` is what Gmail says to its renewal. */
async function keep(
  answer: Date | GmailError,
  { failures = 0, isOurs = true, ...watch }: Partial<Watch> & { failures?: number; isOurs?: boolean } = {},
  random = 0,
) {
  const recorded: Recorded[] = [];
  const topics: string[] = [];
  const gmail = {
    async watch(topic: string) {
      topics.push(topic);
      if (answer instanceof GmailError) throw answer;
      return answer;
    },
    // What else there is must not be asked.
  } as Partial<Gmail> as Gmail;
  const store = {
    claimWatch: async () => (isOurs ? { failures } : undefined),
    async recordWatch(_: string, result: Recorded) {
      recorded.push(result);
    },
  };
  const tools = { gmail, store, signal: AbortSignal.timeout(1000), now: () => NOW, random: () => random };
  const known = { expiresAt: null, error: null, dueAt: inMs(0), ...watch };
  const state = await keepWatch('ada@example.com', known, 'projects/p/topics/t', tools);
  return { state, recorded, topics };
}

const away = () => new GmailError('unavailable', 'Gmail answers 503');

for (const [random, dueInMs] of [
  [0, DAY_MS],
  [1, 0.9 * DAY_MS],
] as const) {
  test(`a watch of 7 days is renewed after ${dueInMs / HOUR_MS} hours`, async () => {
    const expiresAt = inMs(7 * DAY_MS);
    const { state, recorded, topics } = await keep(expiresAt, {}, random);
    assert.deepEqual(topics, ['projects/p/topics/t']);
    assert.deepEqual(recorded, [{ expiresAt, dueInMs }]);
    assert.deepEqual(state, { alarm: null, dueInMs });
  });
}

test('a watch that is over by our clock is renewed each minute, and not without a pause', async () => {
  const { recorded } = await keep(inMs(-HOUR_MS));
  assert.deepEqual(recorded, [{ expiresAt: inMs(-HOUR_MS), dueInMs: MINUTE_MS }]);
});

test('a watch that lives shorter than documented is renewed in its first half', async () => {
  const { recorded } = await keep(inMs(10 * HOUR_MS));
  assert.equal(recorded[0]?.dueInMs, 5 * HOUR_MS);
});

test('what failed is tried again after 5 minutes, and twice as long each time up to an hour', async () => {
  const waits: number[] = [];
  for (let failures = 0; failures < 7; failures++) {
    const { recorded } = await keep(away(), { failures, expiresAt: inMs(6 * DAY_MS) });
    waits.push((recorded[0]?.dueInMs ?? 0) / MINUTE_MS);
  }
  assert.deepEqual(waits, [5, 10, 20, 40, 60, 60, 60]);
});

test('a time that Gmail names is waited for', async () => {
  const { recorded } = await keep(new GmailError('unavailable', 'away', 3 * HOUR_MS));
  assert.equal(recorded[0]?.dueInMs, 3 * HOUR_MS);
});

test('what is wrong is an alarm when less than 48 hours are left, or there is no watch at all', async () => {
  const alarmAt = async (expiresAt: Date | null) => (await keep(away(), { expiresAt })).state.alarm;
  assert.equal(await alarmAt(inMs(48 * HOUR_MS)), null);
  const late = inMs(48 * HOUR_MS - 1);
  assert.match((await alarmAt(late)) ?? '', new RegExp(`ends at ${late.toISOString()}.*503`));
  assert.match((await alarmAt(null)) ?? '', /has no watch.*503/);
});

test('a watch that is not due, or that another keeps, is left alone, and its trouble told all the same', async () => {
  const troubled = { expiresAt: inMs(HOUR_MS), error: 'refused' };
  for (const [other, dueInMs] of [
    [{ ...troubled, dueAt: inMs(7 * MINUTE_MS) }, 7 * MINUTE_MS],
    [{ ...troubled, isOurs: false }, MINUTE_MS],
  ] as const) {
    const { state, topics, recorded } = await keep(away(), other);
    assert.deepEqual([topics, recorded], [[], []]);
    assert.equal(state.dueInMs, dueInMs);
    assert.match(state.alarm ?? '', /refused/);
  }
});

for (const fault of ['slow_down', 'needs_reauth'] as const) {
  test(`${fault} concerns the whole account: it is kept, and ends the look`, async () => {
    await assert.rejects(keep(new GmailError(fault, 'no', 1000)), { fault });
  });
}
