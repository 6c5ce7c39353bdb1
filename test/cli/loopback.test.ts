import assert from 'node:assert/strict';
import { test } from 'node:test';
import { listenOnLoopback } from '../../src/cli/loopback.ts';
import { openRawConnection } from '../http/raw-connection.ts';

test('requests of others, also of no path at all, are turned away and end nothing', async () => {
  await using loopback = await listenOnLoopback();
  const waiting = loopback.wait('the-state', 30_000);
  for (const path of ['//', '//:', '/?state=another', '/elsewhere?state=the-state']) {
    const connection = await openRawConnection(loopback.redirectUri);
    await connection.write(`GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`);
    assert.equal((await connection.answer()).status, 404, path);
    connection.destroy();
  }
  const browser = fetch(`${loopback.redirectUri}?state=the-state&code=abc`);
  const { url, answer } = await waiting;
  assert.equal(url.searchParams.get('code'), 'abc');
  answer('Done.');
  assert.equal(await (await browser).text(), 'Done.\n');
});
