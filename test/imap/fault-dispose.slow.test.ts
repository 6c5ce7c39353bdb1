import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { startDovecot } from '../support/imap/dovecot.ts';
import { type Fault, startFaultProxy } from '../support/imap/fault-proxy.ts';
import { startScriptedServer } from '../support/imap/scripted-server.ts';
import { mailTo, serverOf, until } from './stage.ts';
import { startTroubledStage } from './trouble.ts';

/* A service ends in time whatever its servers do, and leaves no connection behind. The timeouts are those of life. */

const MOST_MS = 10_000;

const dovecot = await startDovecot();
after(() => dovecot.stop());

const FAULTS: [string, Fault][] = [
  ['nothing', { kind: 'pass' }],
  ['a black hole', { kind: 'black-hole' }],
  ['half open', { kind: 'half-open' }],
  ['slow', { kind: 'slow', bytesPerSecond: 100, delayMs: 500 }],
  ['an endless literal', { kind: 'endless-literal' }],
  ['an endless line', { kind: 'endless-line' }],
  ['silence in place of a greeting', { kind: 'greeting', afterMs: 'never' }],
];

describe('a service ends within ten seconds', { concurrency: 4 }, () => {
  for (const [at, [name, fault]] of FAULTS.entries())
    test(`when its sessions meet ${name}`, async () => {
      const stage = await startTroubledStage({ imapTimeouts: {}, imapProbeMs: 30_000 });
      await using proxy = await startFaultProxy(dovecot);
      const user = `ending-${at}@example.com`;
      const server = { host: proxy.host, port: proxy.port, password: dovecot.password };
      const { status, body } = await stage.addSource(user, serverOf(server, user));
      assert.equal(status, 201, JSON.stringify(body));
      await proxy.idling();
      if (fault.kind === 'greeting') {
        proxy.set(fault, 'new');
        const made = proxy.connectionsMade();
        proxy.set({ kind: 'cut', how: 'end' }, 'open');
        await until(
          async () => (await stage.readSource(body.id)).state === 'backoff',
          20_000,
          () => 'it is not cut',
        );
        await stage.hurry(body.id);
        await proxy.connected(made + 1);
      } else {
        proxy.set(fault);
        // A look is under way when the end comes.
        await dovecot.deliver(user, mailTo(user, `under ${name}`));
        await stage.service.api('POST', `/v1/sources/${body.id}/sync`, {});
      }
      await stage.sql.end();
      const startedMs = performance.now();
      await stage.service.stop();
      const tookMs = performance.now() - startedMs;
      await stage.consumer.close();
      assert.ok(tookMs < MOST_MS, `took ${tookMs} ms`);
      proxy.set({ kind: 'pass' });
      await until(
        () => proxy.connections().length === 0,
        10_000,
        () => `${proxy.connections().length} connections are left`,
      );
    });

  for (const command of ['AUTHENTICATE', 'LIST', 'EXAMINE', 'UID FETCH', 'STATUS', 'LOGOUT', 'IDLE'])
    test(`when ${command} is never answered`, async () => {
      const stage = await startTroubledStage({ imapTimeouts: {} });
      await using server = await startScriptedServer();
      const user = `${command.replace(' ', '-').toLowerCase()}@example.com`;
      const { status, body } = await stage.addSource(user, {
        ...{ host: '127.0.0.1', port: server.port, security: 'none' },
        auth: { type: 'password', user, password: 'x' },
      });
      assert.equal(status, 201, JSON.stringify(body));
      await stage.waitForState(body.id, 'idle');
      const heard = () => server.commands.filter((one) => one.includes(` ${command}`)).length;
      const before = heard();
      server.handlers[command] = () => undefined;
      server.arrive({ raw: mailTo(user) });
      if (command !== 'LOGOUT' && command !== 'STATUS' && command !== 'UID FETCH' && command !== 'IDLE') {
        for (const session of server.sessions()) session.end();
        await stage.waitForState(body.id, 'backoff');
        await stage.hurry(body.id);
      }
      if (command !== 'LOGOUT')
        await until(
          () => heard() > before,
          20_000,
          () => `${command} has not come`,
        );
      const startedMs = performance.now();
      await stage.service.stop();
      const tookMs = performance.now() - startedMs;
      await stage.sql.end();
      await stage.consumer.close();
      assert.ok(tookMs < MOST_MS, `took ${tookMs} ms`);
      await until(
        () => server.sessions().length === 0,
        10_000,
        () => 'a connection is left',
      );
    });
});

test('nothing is left that would keep the process from ending', async () => {
  const kept = () => process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap');
  await until(
    () => kept().length === 0,
    10_000,
    () => `${kept().length} sockets are left`,
  );
});
