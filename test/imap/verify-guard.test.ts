import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { startDovecot } from '../support/imap/dovecot.ts';
import { startNameServer } from '../support/imap/name-server.ts';
import { startScriptedServer } from '../support/imap/scripted-server.ts';
import { assertUnsaid, refuseSource, startTroubledStage } from './trouble.ts';

const PASSWORD = 'secret-Of-This-Test-8';
const authOf = (user: string) => ({ type: 'password', user, password: PASSWORD });
const blocked = { status: 400, code: 'egress_blocked' };

const listener = await startScriptedServer();
after(() => listener.stop());

describe('where a tenant may not go', async () => {
  const guarded = await startTroubledStage({ allowLoopback: false });
  after(() => guarded[Symbol.asyncDispose]());

  const HOSTS = [
    ...['127.0.0.1', 'localhost', '[::1]', '::1', '0x7f.1', '2130706433', '0.0.0.0', '10.1.2.3'],
    ...['192.168.0.1', '169.254.169.254', 'metadata.google.internal', '::ffff:127.0.0.1', 'fd00::1'],
  ];
  for (const security of ['tls', 'starttls', 'none'])
    for (const host of HOSTS)
      test(`${host} with ${security}`, async () => {
        const user = `${security}-${HOSTS.indexOf(host)}@example.com`;
        const source = { host, port: listener.port, security, auth: authOf(user) };
        const { problem, tookMs } = await refuseSource(guarded, user, source, blocked);
        assert.ok(tookMs < 5000, `took ${tookMs} ms`);
        assert.match(problem.detail, /MAILGRESS_EGRESS_ALLOW/);
        assertUnsaid(PASSWORD, user, problem, guarded.lines);
      });

  test('nobody has knocked there', () => assert.equal(listener.sessionsMade(), 0));

  test('a source that was there before the guard is told why it is not read', async () => {
    const user = 'before@example.com';
    await using open = await startTroubledStage();
    const source = { host: '127.0.0.1', port: listener.port, security: 'none', auth: authOf(user) };
    const { status, body } = await open.addSource(user, source);
    assert.equal(status, 201, JSON.stringify(body));
    await open.waitForState(body.id, 'idle');
    const made = listener.sessionsMade();
    // Another service on the same database, as after a restart with other settings.
    await open.service.api('POST', `/v1/sources/${body.id}/stop`);
    await open.waitForState(body.id, 'disconnected');
    await open.service.stop();
    await using closed = await startTroubledStage({
      databaseUrl: open.service.databaseUrl,
      allowLoopback: false,
    });
    await closed.service.api('POST', `/v1/sources/${body.id}/start`);
    const failing = await closed.waitForState(body.id, 'backoff');
    assert.match(failing.reason, /may not be reached from here/);
    assert.equal(listener.sessionsMade(), made);
  });
});

describe('clear text', async () => {
  const stage = await startTroubledStage();
  after(() => stage[Symbol.asyncDispose]());

  for (const host of ['1.1.1.1', '[2606:4700::1111]'])
    test(`is not spoken to ${host}, which nobody allowed`, async () => {
      const source = { host, security: 'none', auth: authOf('u@example.com') };
      const { problem } = await refuseSource(stage, `${host.length}@example.com`, source, blocked);
      assert.match(problem.detail, /may not be talked to in clear text: use tls or starttls/);
    });
});

describe('a server that nobody named', async () => {
  const dovecot = await startDovecot();
  after(() => dovecot.stop());
  const names = await startNameServer();
  after(() => names[Symbol.asyncDispose]());
  const stage = await startTroubledStage({ imapCa: dovecot.ca, nameServers: [names.address] });
  after(() => stage[Symbol.asyncDispose]());

  test('is asked for when DNS has no record of it', async () => {
    const source = { auth: authOf('me@nothing.test') };
    const { problem } = await refuseSource(stage, 'me@nothing.test', source, {
      status: 400,
      code: 'bad_request',
    });
    assert.match(problem.detail, /me@nothing\.test.* say `host`/);
    assert.deepEqual(names.asked, ['_imaps._tcp.nothing.test', '_imap._tcp.nothing.test']);
  });

  test('is read when DNS tells it', async () => {
    names.records.set('_imaps._tcp.localhost', [
      { priority: 20, port: 1, target: 'spare.localhost' },
      { priority: 10, port: dovecot.tlsPort, target: 'localhost' },
    ]);
    const auth = { type: 'password', user: 'me@localhost', password: dovecot.password };
    const { status, body } = await stage.addSource('me@localhost', { auth });
    assert.equal(status, 201, JSON.stringify(body));
    await stage.waitForState(body.id, 'idle');
    assert.equal(dovecot.logins('me@localhost').at(-1)?.isTls, true);
  });

  test('on the inside, that DNS of a tenant points to, is none', async () => {
    names.records.set('_imaps._tcp.google.internal', [{ port: 993, target: 'metadata.google.internal' }]);
    await refuseSource(stage, 'me@google.internal', { auth: authOf('me@google.internal') }, blocked);
  });

  test('gets no password when it is of another domain, and is named', async () => {
    const logins = dovecot.logins('me@lured.test').length;
    names.records.set('_imaps._tcp.lured.test', [{ port: dovecot.tlsPort, target: 'localhost' }]);
    const { problem } = await refuseSource(
      stage,
      'me@lured.test',
      { auth: authOf('me@lured.test') },
      { status: 400, code: 'bad_request' },
    );
    assert.match(problem.detail, /DNS names localhost: say `host`/);
    assert.equal(dovecot.logins('me@lured.test').length, logins);
  });

  for (const how of ['fail', 'silence'] as const)
    test(`is no matter of the address when DNS ${how === 'fail' ? 'fails' : 'is silent'}`, async () => {
      names.behave(how);
      const address = `me@${how}.test`;
      const { problem, tookMs } = await refuseSource(
        stage,
        address,
        { auth: authOf(address) },
        {
          status: 503,
          code: 'provider_unavailable',
        },
      );
      assert.match(problem.detail, /DNS does not answer.*say `host`/);
      assert.ok(tookMs < 20_000, `took ${tookMs} ms`);
    });
});
