import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Context } from 'hono';
import { addressOf, createFailedAttempts } from '../../src/http/failed-attempts.ts';

test('the window slides: an attempt counts for a minute, each by itself', () => {
  let now = 0;
  const failed = createFailedAttempts(2, () => now);
  assert.equal(failed.note('a'), 0);
  now = 30_000;
  assert.equal(failed.note('a'), 0);
  now = 59_999;
  assert.equal(failed.note('a'), 1);
  now = 60_000;
  assert.equal(failed.note('a'), 0);
  now = 60_001;
  assert.equal(failed.note('a'), 29_999);
});

test('whoever is told to wait is not made to wait longer by asking', () => {
  let now = 0;
  const failed = createFailedAttempts(1, () => now);
  failed.note('a');
  for (now = 1; now < 60_000; now += 1000) assert.equal(failed.note('a'), 60_000 - now);
  assert.equal(failed.note('a'), 0);
});

test('addresses do not count for each other, and a flood of them takes no more than so much memory', () => {
  const failed = createFailedAttempts(1, () => 0);
  for (let n = 0; n < 20_000; n++) assert.equal(failed.note(`address ${n}`), 0);
  assert.ok(failed.note('address 19999') > 0);
  assert.equal(failed.note('address 0'), 0);
});

test('an address is that of the connection; of IPv6 its /64', () => {
  for (const [remoteAddress, address] of [
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2/64'],
    ['2001:db8:1:2::1', '2001:db8:1:2/64'],
    ['fe80::1%eth0', 'fe80:0:0:0/64'],
    ['/run/socket', 'unknown'],
    [undefined, 'unknown'],
  ]) {
    // Of a context it reads no more than this.
    const c = { env: { incoming: { socket: { remoteAddress } } } } as unknown as Context;
    assert.equal(addressOf(c), address);
  }
  assert.equal(addressOf({ env: undefined } as unknown as Context), 'unknown');
});
