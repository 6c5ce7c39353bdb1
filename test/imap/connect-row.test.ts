import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { after, test } from 'node:test';
import { endWait, openSql } from './reading.ts';
import { accountOf, startScriptedAccount } from './scripted-account.ts';
import { startStage, until } from './stage.ts';

/* Connects to one host are few at once. Whoever waits for a place can leave. */

const CONNECT_MS = 25_000;
const stage = await startStage({
  random: () => 0,
  scanIntervalMs: 200,
  imapTimeouts: { connectMs: CONNECT_MS, commandMs: 3000 },
});
after(() => stage[Symbol.asyncDispose]());
const sql = openSql(stage);
after(() => sql.end());

test('a source that waits behind others at a silent host is stopped, or led elsewhere, at once', async () => {
  const account = await startScriptedAccount({ folders: { INBOX: '' } });
  await using other = await startScriptedAccount({ folders: { INBOX: '' } });
  const { port } = account.server;
  const ids: string[] = [];
  for (let at = 0; at < 24; at++) {
    const address = `in-a-row-${at}@example.com`;
    const { status, body } = await stage.addSource(address, accountOf(account, address));
    assert.equal(status, 201, JSON.stringify(body));
    ids.push(body.id);
  }
  for (const id of ids) await stage.waitForState(id, 'idle');
  await account[Symbol.asyncDispose]();
  // It takes whoever comes, and says nothing.
  const sockets = new Set<Socket>();
  const silent = createServer((socket) => sockets.add(socket.on('error', () => {})));
  after(() => {
    silent.close();
    for (const socket of sockets) socket.destroy();
  });
  silent.listen(port, '127.0.0.1');
  await once(silent, 'listening');
  const isEachConnecting = async () => {
    const sources = await Promise.all(ids.map((id) => stage.readSource(id)));
    const others = sources.filter(({ state }) => state !== 'connecting');
    for (const { id, state } of others) if (state === 'backoff') await endWait(sql, id);
    return others.length === 0;
  };
  await until(isEachConnecting, 60_000, () => 'not all of them connect');

  // Of these some wait: fewer have a place.
  const startedMs = performance.now();
  const [moved = '', ...stopped] = ids.slice(-6);
  const change = { ...accountOf(other, 'moved@example.com'), host: 'localhost' };
  const { status, body } = await stage.service.api('PATCH', `/v1/sources/${moved}`, change);
  assert.equal(status, 200, JSON.stringify(body));
  for (const id of stopped) await stage.service.api('POST', `/v1/sources/${id}/stop`);
  await stage.waitForState(moved, 'idle');
  for (const id of stopped)
    await until(
      async () => (await stage.readSource(id)).leaseHolder === null,
      20_000,
      () => `${id} is held`,
    );
  const tookMs = performance.now() - startedMs;
  assert.ok(tookMs < CONNECT_MS / 2, `it took ${tookMs} ms`);
});
