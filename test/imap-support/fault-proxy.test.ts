import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { startFaultProxy } from '../support/imap/fault-proxy.ts';
import { openImapLines } from '../support/imap/imap-client.ts';
import { type ScriptedServer, startScriptedServer } from '../support/imap/scripted-server.ts';
import { createRandom } from '../support/random.ts';

describe('the fault proxy', () => {
  let server: ScriptedServer;
  before(async () => {
    server = await startScriptedServer({ mails: [{ raw: 'Subject: One\r\n\r\n* 9 EXISTS\r\n' }] });
  });
  after(() => server.stop());

  async function open() {
    const proxy = await startFaultProxy(server);
    const client = await openImapLines(proxy);
    await client.until(/^\* OK/);
    return {
      proxy,
      client,
      async [Symbol.asyncDispose]() {
        client.socket.destroy();
        await proxy.close();
      },
    };
  }

  async function openIdle() {
    const opened = await open();
    await opened.client.command('LOGIN a b');
    await opened.client.command('SELECT INBOX');
    opened.client.send('i IDLE');
    await opened.proxy.idling();
    return opened;
  }

  /** Nothing comes back while the server has heard nothing of it, or its answer was held. */
  async function isSilent(client: { send(line: string): void; lines: string[] }) {
    const before = client.lines.length;
    client.send('silent NOOP');
    await wait(50);
    return client.lines.length === before;
  }

  test('passes on, counts connections and logins, and knows who idles', async () => {
    await using opened = await openIdle();
    const { proxy, client } = opened;
    assert.equal(proxy.connectionsMade(), 1);
    assert.equal(proxy.loginsSeen(), 1);
    assert.deepEqual(proxy.connections()[0]?.commands, ['LOGIN', 'SELECT', 'IDLE']);
    client.send('DONE');
    await client.until(/^i OK/);
    assert.equal(proxy.connections()[0]?.isIdling, false);
  });

  test('tells of each EXISTS and of none in a literal', async () => {
    await using opened = await open();
    const { proxy, client } = opened;
    const seen: number[] = [];
    proxy.onExists(({ count, atMs }) => {
      assert.ok(atMs <= performance.now());
      seen.push(count);
    });
    await client.command('LOGIN a b');
    await client.command('SELECT INBOX');
    await client.command('FETCH 1 BODY[]');
    server.say('* 2 EXISTS');
    await client.until(/^\* 2 EXISTS/);
    assert.deepEqual(seen, [1, 2]);
  });

  test('black hole: nothing either way, and all of it when it ends', async () => {
    await using opened = await open();
    const { proxy, client } = opened;
    proxy.set({ kind: 'black-hole' });
    assert.ok(await isSilent(client));
    await using late = await openImapLines(proxy);
    assert.ok(await isSilent(late));
    proxy.set({ kind: 'pass' });
    await client.until(/^silent OK/);
    await late.until(/^silent OK/);
  });

  test('refuse: new connections only', async () => {
    await using opened = await open();
    const { proxy, client } = opened;
    proxy.refuse();
    await assert.rejects(openImapLines(proxy), /ECONNREFUSED/);
    await client.command('NOOP');
    await proxy.accept();
    await using again = await openImapLines(proxy);
    await again.until(/^\* OK/);
  });

  test('cut: by FIN, by RST, and in the midst of a line', async () => {
    for (const how of ['end', 'reset'] as const) {
      await using opened = await open();
      opened.proxy.set({ kind: 'cut', how });
      assert.equal(await opened.client.closed, how);
    }
    await using opened = await open();
    opened.proxy.set({ kind: 'cut', how: 'end', afterServerBytes: 7 }, 'open');
    const chunks: string[] = [];
    opened.client.socket.on('data', (chunk) => chunks.push(String(chunk)));
    opened.client.send('a CAPABILITY');
    await opened.client.closed;
    assert.equal(chunks.join(''), '* CAPAB');
  });

  test('the nth connection alone, counted from the first', async () => {
    await using opened = await open();
    const { proxy } = opened;
    proxy.set({ kind: 'cut', how: 'end' }, 3);
    await using second = await openImapLines(proxy);
    await second.until(/^\* OK/);
    await using third = await openImapLines(proxy);
    await third.closed;
    await using fourth = await openImapLines(proxy);
    await fourth.until(/^\* OK/);
  });

  test('slow: no faster than told', async () => {
    await using opened = await open();
    const { proxy, client } = opened;
    proxy.set({ kind: 'slow', bytesPerSecond: 1000 });
    const from = performance.now();
    const answer = await client.command('CAPABILITY');
    const bytes = answer.join('\r\n').length;
    assert.ok(performance.now() - from > bytes * 0.5, `${bytes} bytes in ${performance.now() - from} ms`);
  });

  test('half-open: the server sees the end, the client nothing', async () => {
    await using opened = await open();
    const sessions = server.sessions().length;
    const [session] = server.sessions().slice(-1);
    opened.proxy.set({ kind: 'half-open' });
    await session?.closed;
    assert.equal(server.sessions().length, sessions - 1);
    assert.ok(await isSilent(opened.client));
    assert.equal(opened.client.socket.readyState, 'open');
  });

  test('inject: where a response ends, or anywhere', async () => {
    await using opened = await open();
    const { proxy, client } = opened;
    proxy.set({ kind: 'inject', bytes: '* 5 EXPUNGE\r\n', at: 'response-end' });
    await client.until(/^\* 5 EXPUNGE$/);
    proxy.set({ kind: 'inject', bytes: '\0\0', at: 'anywhere' });
    client.send('z NOOP');
    await client.until(/^z\0\0 OK/);
    await client.command('NOOP');
  });

  test('bye: in the midst of IDLE', async () => {
    await using opened = await openIdle();
    opened.proxy.set({ kind: 'bye', text: 'going down' });
    await opened.client.until(/^\* BYE going down$/);
    await opened.client.closed;
  });

  for (const [kind, start] of [
    ['endless-literal', /^\* 1 FETCH .*\{999999999\}\r\nx{20}/],
    ['endless-line', /^\* OK x{20}/],
  ] as const)
    test(kind, async () => {
      await using opened = await open();
      let text = '';
      const arrived = new Promise<void>((resolve) => {
        opened.client.socket.on('data', (chunk) => {
          text += chunk;
          if (text.length > 3000) resolve();
        });
      });
      opened.proxy.set({ kind, everyMs: 1 });
      await arrived;
      assert.match(text, start);
    });

  test('greeting: late, or never', async () => {
    await using opened = await open();
    const { proxy } = opened;
    proxy.set({ kind: 'greeting', afterMs: 60 }, 'new');
    const from = performance.now();
    await using late = await openImapLines(proxy);
    await late.until(/^\* OK/);
    assert.ok(performance.now() - from >= 55);
    proxy.set({ kind: 'greeting', afterMs: 'never' }, 'new');
    await using never = await openImapLines(proxy);
    assert.ok(await isSilent(never));
  });

  test('refuses a command itself, also under UID', async () => {
    await using opened = await open();
    const { proxy, client } = opened;
    proxy.refuseCommand('IDLE');
    proxy.refuseCommand('UID FETCH', 'NO [LIMIT] later');
    assert.deepEqual(await client.command('IDLE'), ['t1 BAD Unknown command']);
    assert.deepEqual(await client.command('uid fetch 1 FLAGS'), ['t2 NO [LIMIT] later']);
    proxy.allowCommand('UID FETCH');
    assert.match((await client.command('UID FETCH 1 FLAGS')).join(), /FETCH \(UID 1/);
  });

  test('keeps a command with a literal whole', async () => {
    await using opened = await open();
    const { client, proxy } = opened;
    client.send('l LOGIN {3}');
    await client.until(/^\+/);
    client.send('ada {2+}\r\nxy');
    await client.until(/^l OK/);
    assert.deepEqual(proxy.connections()[0]?.commands, ['LOGIN']);
    assert.equal(proxy.loginsSeen(), 1);
  });

  test('chaos: strikes one connection after another', async () => {
    await using proxy = await startFaultProxy(server);
    const clients = await Promise.all(Array.from({ length: 8 }, () => openImapLines(proxy)));
    await Promise.all(clients.map((client) => client.until(/^\* OK/)));
    const chaos = proxy.chaos(createRandom(7), 500, [{ kind: 'cut', how: 'reset' }, { kind: 'bye' }]);
    await Promise.all(clients.map(({ closed }) => closed));
    chaos.stop();
    assert.deepEqual(chaos.done.map(({ connection }) => connection).toSorted(), [1, 2, 3, 4, 5, 6, 7, 8]);
  });
});
