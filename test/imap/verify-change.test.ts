import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { expectProblem, faultPaths } from '../http/problem.ts';
import { startDovecot } from '../support/imap/dovecot.ts';
import { startScriptedServer } from '../support/imap/scripted-server.ts';
import { mailTo, serverOf } from './stage.ts';
import { addNeighbour, assertUnsaid, findClosedPort, startTroubledStage } from './trouble.ts';

const dovecot = await startDovecot();
after(() => dovecot.stop());
const other = await startDovecot({ password: 'another-Secret-Of-The-Other' });
after(() => other.stop());
const stage = await startTroubledStage();
after(() => stage[Symbol.asyncDispose]());
const neighbour = await addNeighbour(stage, dovecot);
after(() => neighbour.proxy.close());

async function addRunning(user: string, over: Record<string, unknown> = {}): Promise<string> {
  const { status, body } = await stage.addSource(user, { ...serverOf(dovecot, user), ...over });
  assert.equal(status, 201, JSON.stringify(body));
  await stage.waitForState(body.id, 'idle');
  return body.id;
}

const readRow = async (user: string) => {
  const rows = await stage.sql`
    SELECT settings, credentials, account, fence, is_wanted FROM sources JOIN mailboxes ON mailboxes.id = mailbox_id
    WHERE address = ${user}`;
  return rows[0];
};

const WRONG = 'wrong-Secret-Of-This-Test';
const CHANGES: [name: string, change: (user: string) => Promise<Record<string, unknown>>, code: string][] = [
  [
    'a wrong password',
    async (user) => ({ auth: { type: 'password', user, password: WRONG } }),
    'credentials_refused',
  ],
  [
    'a port where nobody listens',
    async (user) => ({
      port: await findClosedPort(),
      auth: { type: 'password', user, password: WRONG },
    }),
    'provider_unavailable',
  ],
  ['a folder that is not there', async () => ({ folders: [{ path: 'Nowhere' }] }), 'bad_request'],
  ['TLS on a plain port', async () => ({ security: 'tls' }), 'bad_request'],
  [
    'a host that does not exist',
    async (user) => ({ host: 'nowhere.invalid', auth: { type: 'password', user, password: WRONG } }),
    'provider_unavailable',
  ],
  ['another host, with the password that is kept', async () => ({ host: 'nowhere.invalid' }), 'bad_request'],
  ['another port, with the password that is kept', async () => ({ port: other.port }), 'bad_request'],
];

describe('a change that does not work leaves the source as it is', () => {
  for (const [at, [name, change, code]] of CHANGES.entries())
    test(name, async () => {
      const user = `changed-${at}@example.com`;
      const id = await addRunning(user);
      const before = await readRow(user);
      const response = await stage.send('PATCH', `/v1/sources/${id}`, await change(user));
      const problem = await expectProblem(response, code === 'provider_unavailable' ? 503 : 400, code);
      assertUnsaid(WRONG, user, problem, stage.lines);
      assert.deepEqual(await readRow(user), before);
      await dovecot.deliver(user, mailTo(user, `in spite of ${name}`));
      await stage.waitForSubjects([`in spite of ${name}`]);
      assert.equal(dovecot.logins(user).length, code === 'bad_request' && at === 2 ? 3 : 2, 'one session');
    });
});

describe('a change that works', () => {
  test('of the password goes on where it was', async () => {
    const user = 'renewed@example.com';
    const id = await addRunning(user);
    await dovecot.deliver(user, mailTo(user, 'under the old password'));
    await stage.waitForSubjects(['under the old password']);
    await stage.service.api('POST', `/v1/sources/${id}/stop`);
    await stage.waitForState(id, 'disconnected');
    const password = 'renewed-Secret-9';
    await dovecot.setPassword(user, password);
    await dovecot.deliver(user, mailTo(user, 'between the passwords'));
    const changed = await stage.service.api('PATCH', `/v1/sources/${id}`, {
      auth: { type: 'password', user, password },
    });
    assert.equal(changed.status, 200, JSON.stringify(changed.body));
    assert.equal(changed.body.wanted, true);
    assertUnsaid(password, user, changed.body, stage.lines);
    await stage.waitForSubjects(['under the old password', 'between the passwords']);
    await stage.waitForState(id, 'idle');
  });

  test('of the user begins anew: what the other account has already is not news', async () => {
    const user = 'moving@example.com';
    const id = await addRunning(user);
    for (const at of [1, 2, 3]) await dovecot.deliver(user, mailTo(user, `to the old account ${at}`));
    await stage.waitForSubjects([1, 2, 3].map((at) => `to the old account ${at}`));
    const moved = 'moved@example.com';
    await dovecot.deliver(moved, mailTo(moved, 'there before the move'));
    const changed = await stage.service.api('PATCH', `/v1/sources/${id}`, {
      auth: { type: 'password', user: moved, password: dovecot.password },
    });
    assert.equal(changed.status, 200, JSON.stringify(changed.body));
    await stage.waitForState(id, 'idle');
    await dovecot.deliver(moved, mailTo(moved, 'there after the move'));
    await stage.waitForSubjects(['there after the move']);
    assert.ok(!stage.subjects().includes('there before the move'));
    await dovecot.deliver(user, mailTo(user, 'to the account of before'));
    await neighbour.assertUntouched();
    assert.ok(!stage.subjects().includes('to the account of before'));
    assert.equal(dovecot.connections(user).length, 0, 'the old connection has ended');
  });

  test('of the host goes on with what came since the last read, although its folders are others', async () => {
    const user = 'host@example.com';
    const id = await addRunning(user);
    for (const at of [1, 2, 3]) await dovecot.deliver(user, mailTo(user, `at the old host ${at}`));
    await stage.waitForSubjects([1, 2, 3].map((at) => `at the old host ${at}`));
    await other.deliver(user, mailTo(user, 'at the new host before'));
    const changed = await stage.service.api('PATCH', `/v1/sources/${id}`, {
      ...{ host: '127.0.0.1', port: other.port },
      auth: { type: 'password', user, password: other.password },
    });
    assert.equal(changed.status, 200, JSON.stringify(changed.body));
    await stage.waitForState(id, 'idle');
    await other.deliver(user, mailTo(user, 'at the new host after'));
    await stage.waitForSubjects(['at the new host before', 'at the new host after']);
    const { body: gaps } = await stage.service.api('GET', `/v1/gaps?source=${id}`);
    // One for each folder.
    assert.deepEqual(new Set(gaps.data.map(({ reason }: { reason: string }) => reason)), new Set(['reset']));
  });
});

describe('what is not as it should be is 400, with the places', async () => {
  const server = await startScriptedServer();
  after(() => server.stop());
  const good = {
    ...{ kind: 'imap', host: 'localhost', port: server.port, security: 'none' },
    auth: { type: 'password', user: 'u', password: 'p' },
  };
  const auth = good.auth;
  const FAULTS: [change: Record<string, unknown>, path: RegExp, patchToo?: false][] = [
    [{ port: 0 }, /^port$/],
    [{ port: 65_536 }, /^port$/],
    [{ port: 1.5 }, /^port$/],
    [{ port: '993' }, /^port$/],
    [{ host: '' }, /^host$/],
    [{ host: 'a b' }, /^host$/],
    [{ host: 'http://a/' }, /^host$/],
    [{ host: 'h\r\nx' }, /^host$/],
    [{ host: 'a'.repeat(254) }, /^host$/],
    [{ security: 'ssl' }, /^security$/],
    [{ provider: 'gmial' }, /^provider$/],
    [{ folders: [] }, /^folders$/],
    [{ folders: ['INBOX'] }, /^folders\.0/],
    [{ folders: [{ role: 'inbox' }, { role: 'spam' }] }, /^folders\.1/],
    [{ folders: [{ path: '' }] }, /^folders\.0/],
    [{ folders: [{ path: 'INBOX', role: 'inbox' }] }, /^folders\.0/],
    [{ folders: Array.from({ length: 21 }, (_, at) => ({ path: `f${at}` })) }, /^folders$/],
    [{ standby: 'yes' }, /^standby$/],
    [{ settings: { idleRestartMs: 1 } }, /^settings\.idleRestartMs$/],
    [{ settings: { idleRestartMs: 30 * 60_000 } }, /^settings\.idleRestartMs$/],
    [{ settings: { backoffMinMs: 0 } }, /^settings\.backoffMinMs$/],
    [{ settings: { unknown: 1 } }, /^settings/],
    [{ unknown: true }, /^(unknown)?$/],
    [{ auth: { ...auth, user: '' } }, /^auth\.user$/],
    [{ auth: { ...auth, password: '' } }, /^auth\.password$/],
    [{ auth: { ...auth, token: 'x' } }, /^auth/],
    [{ auth: { type: 'oauth', user: 'u' } }, /^auth\./],
    [{ auth: { type: 'cram-md5', user: 'u' } }, /^auth/],
    [
      { auth: { type: 'oauth', user: 'u', provider: 'custom', refreshToken: 'r', tokenUrl: 'ftp://a' } },
      /^auth/,
    ],
    [{ since: 'yesterday' }, /^since$/, false],
  ];

  test('when a source is asked for, and nobody is called', async () => {
    const { body: mailbox } = await stage.service.api('POST', '/v1/mailboxes', {
      address: 'bad@example.com',
    });
    for (const [change, path] of FAULTS) {
      const response = await stage.send('POST', `/v1/mailboxes/${mailbox.id}/sources`, {
        ...good,
        ...change,
      });
      const problem = await expectProblem(response, 400, 'bad_request');
      const paths = faultPaths(problem);
      assert.ok(
        paths.length > 0 && paths.some((one) => path.test(one)),
        `${JSON.stringify(change)}: ${JSON.stringify(problem)}`,
      );
    }
    assert.equal(server.sessionsMade(), 0);
  });

  test('when a source is changed, and it goes on', async () => {
    const user = 'bad-change@example.com';
    const id = await addRunning(user);
    const before = await readRow(user);
    for (const [change, path, isPatchToo = true] of FAULTS) {
      if (!isPatchToo) continue;
      const response = await stage.send('PATCH', `/v1/sources/${id}`, change);
      const problem = await expectProblem(response, 400, 'bad_request');
      const paths = faultPaths(problem);
      assert.ok(
        paths.length > 0 && paths.some((one) => path.test(one)),
        `${JSON.stringify(change)}: ${JSON.stringify(problem)}`,
      );
    }
    assert.deepEqual(await readRow(user), before);
    await dovecot.deliver(user, mailTo(user, 'after bad changes'));
    await stage.waitForSubjects(['after bad changes']);
  });
});

test('all the while the other mailbox went on', () => neighbour.assertUntouched());
