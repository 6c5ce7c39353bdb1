import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createLimit, createLimits } from '../../src/core/limit.ts';

const turnOver = () => new Promise<void>((resolve) => setImmediate(resolve));

/** Work that ends when it is told to. */
function createWork() {
  const { promise, resolve } = Promise.withResolvers<void>();
  const work = {
    isRunning: false,
    end: resolve,
    async run() {
      work.isRunning = true;
      await promise;
      work.isRunning = false;
    },
  };
  return work;
}

describe('a limit', () => {
  test('runs so many at once, and the others in the order they came', async () => {
    const limit = createLimit(2);
    const works = [createWork(), createWork(), createWork(), createWork()];
    const runs = works.map(({ run }) => limit.run(run));
    const running = () => works.map(({ isRunning }) => isRunning);
    await turnOver();
    assert.deepEqual(running(), [true, true, false, false]);
    works[1]?.end();
    await runs[1];
    assert.deepEqual(running(), [true, false, true, false]);
    for (const { end } of works) end();
    await Promise.all(runs);
  });

  test('gives the place of what fails to the next', async () => {
    const limit = createLimit(1);
    const failing = limit.run(() => Promise.reject(new Error('it fails')));
    const next = limit.run(async () => 'done');
    await assert.rejects(failing, /it fails/);
    assert.equal(await next, 'done');
  });

  test('lets whoever waits no longer leave the row, at once and without a place', async () => {
    const limit = createLimit(1);
    const [first, left, last] = [createWork(), createWork(), createWork()];
    const abort = new AbortController();
    const running = limit.run(first.run);
    const leaving = limit.run(left.run, abort.signal);
    const lasting = limit.run(last.run);
    abort.abort(new Error('no longer'));
    await assert.rejects(leaving, /no longer/);
    first.end();
    await running;
    await turnOver();
    assert.deepEqual([left.isRunning, last.isRunning], [false, true]);
    last.end();
    await lasting;
    assert.equal(await limit.run(async () => 'free'), 'free');
  });

  test('does not run what is over before it came, nor ends what has begun', async () => {
    const limit = createLimit(1);
    const abort = new AbortController();
    const work = createWork();
    const running = limit.run(work.run, abort.signal);
    abort.abort(new Error('no longer'));
    await turnOver();
    assert.equal(work.isRunning, true);
    work.end();
    await running;
    await assert.rejects(limit.run(work.run, abort.signal), /no longer/);
  });
});

test('a limit of each key holds up no other key, and is kept no longer than it is used', async () => {
  const limits = createLimits(1);
  const [one, two] = [createWork(), createWork()];
  const runs = [limits.run('one', one.run), limits.run('two', two.run)];
  await turnOver();
  assert.deepEqual([one.isRunning, two.isRunning, limits.size()], [true, true, 2]);
  const abort = new AbortController();
  const leaving = limits.run('one', async () => {}, abort.signal);
  abort.abort();
  await assert.rejects(leaving);
  assert.equal(limits.size(), 2);
  for (const { end } of [one, two]) end();
  await Promise.all(runs);
  assert.equal(limits.size(), 0);
});
