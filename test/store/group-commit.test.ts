import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { MailgressError } from '../../src/core/errors.ts';
import { createGroupCommit, type GroupCommitOptions } from '../../src/store/group-commit.ts';

type Row = { id: number; size: number };
const row = (id: number, size = 1): Row => ({ id, size });
const sqlError = (code: string) => Object.assign(new Error(`SQLSTATE ${code}`), { code });

/** A store whose every flush waits to be released. */
function createStore(options: Partial<GroupCommitOptions<Row, number>> = {}) {
  const flushes: { ids: number[]; release: () => void; fail: (error: unknown) => void }[] = [];
  const commit = createGroupCommit<Row, number>({
    flush: (rows) =>
      new Promise((resolve, reject) => {
        const ids = rows.map(({ id }) => id);
        flushes.push({ ids, release: () => resolve(ids), fail: reject });
      }),
    sizeOf: ({ size }) => size,
    maxRows: 10,
    maxBytes: 1000,
    gatherMs: 1,
    maxFlushes: 2,
    maxPendingBytes: 5000,
    deadlineMs: 60_000,
    ...options,
  });
  const until = async (count: number) => {
    while (flushes.length < count) await turn();
  };
  return { commit, flushes, until };
}

test('writes at once when idle, and together what came in one turn', async () => {
  const { commit, flushes, until } = createStore();
  const results = [1, 2, 3].map((id) => commit.submit(row(id)));
  await until(1);
  assert.deepEqual(flushes[0]?.ids, [1, 2, 3]);
  flushes[0]?.release();
  assert.deepEqual(await Promise.all(results), [1, 2, 3]);
});

test('gathers while a flush runs, and never runs more than it may', async () => {
  const { commit, flushes, until } = createStore();
  const results = [commit.submit(row(1))];
  await until(1);
  results.push(commit.submit(row(2)), commit.submit(row(3)));
  await until(2);
  for (let id = 4; id < 30; id++) results.push(commit.submit(row(id)));
  for (let turns = 0; turns < 50; turns++) await turn();
  assert.equal(flushes.length, 2);
  assert.deepEqual(flushes[1]?.ids, [2, 3]);
  for (let at = 0; at < 5; at++) {
    await until(at + 1);
    flushes[at]?.release();
    if (at === 4) break;
  }
  assert.equal((await Promise.all(results)).length, 29);
  assert.ok(flushes.every(({ ids }) => ids.length <= 10));
});

test('keeps to the bytes of a group, and lets a larger row go alone', async () => {
  const { commit, flushes, until } = createStore({ maxFlushes: 1, maxPendingBytes: 10_000 });
  const results = [row(1, 600), row(2, 600), row(3, 4000)].map((one) => commit.submit(one));
  for (const [at, ids] of [[1], [2], [3]].entries()) {
    await until(at + 1);
    assert.deepEqual(flushes[at]?.ids, ids);
    flushes[at]?.release();
  }
  await Promise.all(results);
});

test('refuses what it has no room for, but always takes one row', async () => {
  const { commit, flushes, until } = createStore();
  const first = commit.submit(row(1, 9000));
  await assert.rejects(commit.submit(row(2)), { code: 'overloaded', retryable: true });
  await until(1);
  flushes[0]?.release();
  await first;
  const second = commit.submit(row(3));
  await until(2);
  flushes[1]?.release();
  assert.equal(await second, 3);
});

test('finds the row that the database refuses, and stores its neighbours', async () => {
  const { commit } = createStore({
    flush: async (rows) => {
      if (rows.some(({ id }) => id === 5)) throw sqlError('22021');
      return rows.map(({ id }) => id);
    },
  });
  const settled = await Promise.allSettled(Array.from({ length: 9 }, (_, id) => commit.submit(row(id))));
  for (const [id, one] of settled.entries())
    assert.equal(one.status, id === 5 ? 'rejected' : 'fulfilled', `${id}`);
});

test('blames no row for a fault of ours: the whole group fails with it', async () => {
  let flushes = 0;
  const { commit } = createStore({
    flush: async () => {
      flushes++;
      throw sqlError('42703');
    },
  });
  const settled = await Promise.allSettled([1, 2, 3].map((id) => commit.submit(row(id))));
  assert.ok(settled.every((one) => one.status === 'rejected' && one.reason.code === '42703'));
  assert.equal(flushes, 1);
});

test('tries again at once what deadlocked', async () => {
  let flushes = 0;
  const { commit } = createStore({
    flush: async (rows) => {
      if (++flushes < 3) throw sqlError('40P01');
      return rows.map(({ id }) => id);
    },
  });
  assert.equal(await commit.submit(row(1)), 1);
});

test('says that the store is away, and how to go on', async () => {
  const { commit } = createStore({ flush: () => Promise.reject(sqlError('ECONNREFUSED')) });
  await assert.rejects(
    commit.submit(row(1)),
    (error) => error instanceof MailgressError && error.code === 'store_unavailable' && error.retryable,
  );
});

test('does not wait for ever for a flush, and is drained after it', async () => {
  const { commit } = createStore({ deadlineMs: 5 });
  await assert.rejects(commit.submit(row(1)), { code: 'store_unavailable' });
  await commit.drained();
});

test('is drained once everything is settled', async () => {
  const { commit, flushes, until } = createStore({ maxFlushes: 1, maxRows: 1 });
  let isDrained = false;
  const results = [commit.submit(row(1)), commit.submit(row(2))];
  const drained = commit.drained().then(() => {
    isDrained = true;
  });
  await until(1);
  flushes[0]?.release();
  await until(2);
  assert.equal(isDrained, false);
  flushes[1]?.release();
  await Promise.all([...results, drained]);
});
