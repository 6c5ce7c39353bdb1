import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createBell } from '../../../src/sources/imap/bell.ts';

const LONG_MS = 60_000;

describe('a bell', () => {
  test('wakes who waits', async () => {
    const bell = createBell();
    const waiting = bell.wait(LONG_MS);
    bell.ring();
    await waiting;
  });

  test('rung while nobody waits, is heard by the next who does', async () => {
    const bell = createBell();
    bell.ring();
    await bell.wait(LONG_MS);
  });

  test('rung many times, is heard once', async () => {
    const bell = createBell();
    bell.ring();
    bell.ring();
    await bell.wait(LONG_MS);
    assert.equal(await firstOf(bell.wait(LONG_MS)), 'still waits');
    bell.ring();
  });

  test('wakes by itself when the time is over', async () => {
    await createBell().wait(1);
  });

  test('that woke by itself keeps no ring for later', async () => {
    const bell = createBell();
    await bell.wait(1);
    const waiting = bell.wait(LONG_MS);
    assert.equal(await firstOf(waiting), 'still waits');
    bell.ring();
    await waiting;
  });

  test('rung again while it wakes somebody, is heard by the one after', async () => {
    const bell = createBell();
    const first = bell.wait(LONG_MS);
    bell.ring();
    await first;
    bell.ring();
    await bell.wait(LONG_MS);
  });
});

/** All that can settle without time has settled by then. */
async function firstOf(waiting: Promise<void>): Promise<'woke' | 'still waits'> {
  const turn = new Promise<'still waits'>((resolve) => setImmediate(() => resolve('still waits')));
  return Promise.race([waiting.then(() => 'woke' as const), turn]);
}
