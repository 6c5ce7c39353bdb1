import assert from 'node:assert/strict';
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createNameProbe } from '../../src/deliver/name-probe.ts';
import { startNameServer } from '../support/imap/name-server.ts';

test('a name of which DNS says something, whatever it is, is left to getaddrinfo; one of which it says nothing is not', async () => {
  const server = await startNameServer();
  await using _server = server;
  const probe = createNameProbe({ servers: () => [server.address], tryMs: 100 });
  await probe('nobody.example.com');
  assert.deepEqual([...new Set(server.asked)], ['nobody.example.com']);
  server.behave('fail');
  await probe('broken.example.com');
  server.behave('silence');
  await probe('postgres');
  assert.ok(!server.asked.includes('postgres'), 'one label: the hosts file, or a search domain');
  await assert.rejects(probe('hangs.example.com'), { code: 'EAI_AGAIN', syscall: 'getaddrinfo' });
  server.behave('answer');
  await probe('hangs.example.com');
});

test('a name server that is not there is no silence', async () => {
  const server = await startNameServer();
  await server[Symbol.asyncDispose]();
  await createNameProbe({ servers: () => [server.address] })('somewhere.example.com');
});

test('of a name server that never answers for one family, the other is asked for', async () => {
  const server = await startNameServer();
  await using _server = server;
  const probe = createNameProbe({ servers: () => [server.address], tryMs: 100 });
  server.addresses.set('v4.example.com', '192.0.2.1');
  assert.equal(await probe('v4.example.com'), 0);
  server.behave('no-aaaa');
  assert.equal(await probe('v4.example.com'), 4);
  await assert.rejects(probe('nobody.example.com'), { code: 'EAI_AGAIN' });
});

test('after a silence the servers are asked for anew: the machine may be in another network', async () => {
  const [before, now] = [await startNameServer(), await startNameServer()];
  await using _before = before;
  await using _now = now;
  before.behave('silence');
  const servers = [[before.address], [now.address]];
  const probe = createNameProbe({ servers: () => servers.shift(), tryMs: 100 });
  await assert.rejects(probe('here.example.com'), { code: 'EAI_AGAIN' });
  assert.equal(await probe('here.example.com'), 0);
  assert.ok(now.asked.includes('here.example.com'));
});

test('a name of the hosts file is left to getaddrinfo, whatever DNS does', async () => {
  const server = await startNameServer();
  await using _server = server;
  await using directory = await mkdtempDisposable(join(tmpdir(), 'mailgress-hosts-'));
  const hostsFile = join(directory.path, 'hosts');
  await writeFile(hostsFile, '127.0.0.1 localhost\n192.0.2.1\tmail Mail.Example.com # old.example.com\n');
  server.behave('silence');
  const probe = createNameProbe({ servers: () => [server.address], tryMs: 100, hostsFile });
  assert.equal(await probe('mail.example.com'), 0);
  await assert.rejects(probe('old.example.com'), { code: 'EAI_AGAIN' });
});
