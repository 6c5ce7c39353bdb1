import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { watchForStall } from '../../../src/sources/imap/stall.ts';

/** Whether it was taken for a stall within the time. */
async function isStall(bytesPerSecond: number, withinMs: number): Promise<boolean> {
  const startedMs = performance.now();
  const received = () => 7 + Math.floor(((performance.now() - startedMs) / 1000) * bytesPerSecond);
  let stalls = 0;
  const stop = watchForStall(received, { leastBytesPerSecond: 1000, graceMs: 300 }, () => stalls++);
  for (const endsMs = startedMs + withinMs; stalls === 0 && performance.now() < endsMs; ) await wait(20);
  stop();
  assert.ok(stalls <= 1);
  return stalls > 0;
}

describe('a long answer', { concurrency: true }, () => {
  test('that brings nothing is noticed', async () => assert.equal(await isStall(0, 20_000), true));
  test('that comes a byte now and then is noticed', async () =>
    assert.equal(await isStall(100, 20_000), true));
  test('that comes fast enough is waited for', async () => assert.equal(await isStall(50_000, 2000), false));
});
