import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { startDovecot } from '../support/imap/dovecot.ts';
import { AUTHENTICATION_FAILED, answerWith, THROTTLE_ANSWERS } from '../support/imap/hostile.ts';
import { type ScriptedServer, startScriptedServer } from '../support/imap/scripted-server.ts';
import { mailTo, serverOf, until } from './stage.ts';
import { addNeighbour, assertUnsaid, rowIdOf, startTroubledStage, waitForFailure } from './trouble.ts';

const MINUTE_MS = 60_000;

const dovecot = await startDovecot();
after(() => dovecot.stop());
const stage = await startTroubledStage({ silenceLookMs: 500 });
after(() => stage[Symbol.asyncDispose]());
const neighbour = await addNeighbour(stage, dovecot);
after(() => neighbour.proxy.close());

/** One that works, and then greets or answers logins as the test likes. */
async function startFickleServer() {
  let greeting = '* OK [CAPABILITY IMAP4rev1 IDLE AUTH=PLAIN SASL-IR] ready';
  const server = await startScriptedServer({
    greeting: null,
    onConnection: (session) => {
      session.send(greeting);
      if (greeting.startsWith('* BYE')) session.end();
    },
  });
  after(() => server.stop());
  const logins = { AUTHENTICATE: server.handlers.AUTHENTICATE, LOGIN: server.handlers.LOGIN };
  return Object.assign(server, {
    greet(line: string) {
      greeting = line;
    },
    refuse(answer: string) {
      for (const name of ['AUTHENTICATE', 'LOGIN']) server.handlers[name] = answerWith(answer);
    },
    relent() {
      greeting = '* OK [CAPABILITY IMAP4rev1 IDLE AUTH=PLAIN SASL-IR] ready';
      for (const [name, handler] of Object.entries(logins)) if (handler) server.handlers[name] = handler;
    },
    hangUp() {
      for (const session of server.sessions()) session.end();
    },
  });
}

async function addScripted(server: ScriptedServer, address: string, user = address): Promise<string> {
  const { status, body } = await stage.addSource(address, {
    ...{ host: '127.0.0.1', port: server.port, security: 'none' },
    auth: { type: 'password', user, password: 'secret-Of-This-Test-4' },
  });
  assert.equal(status, 201, JSON.stringify(body));
  await stage.waitForState(body.id, 'idle');
  return body.id;
}

async function readRow(id: string) {
  const [row] = await stage.sql`
    SELECT state, fault, failures, extract(epoch FROM due_at - now())::float8 * 1000 AS "dueInMs",
           extract(epoch FROM slow_until - now())::float8 * 1000 AS "slowForMs"
    FROM sources WHERE id = ${rowIdOf(id)}`;
  assert.ok(row);
  return row;
}

describe('a server that wants patience is given it, and the source is never disabled', () => {
  const answers: [string, (server: Awaited<ReturnType<typeof startFickleServer>>) => void][] = [
    ...THROTTLE_ANSWERS.map((answer): (typeof answers)[number] => [
      answer,
      (server) => server.refuse(answer),
    ]),
    ['a BYE to too many', (server) => server.greet('* BYE Too many simultaneous connections')],
    ['a BYE that is unavailable', (server) => server.greet('* BYE [UNAVAILABLE] Server busy')],
  ];
  for (const [at, [name, refuse]] of answers.entries())
    test(name, async () => {
      const server = await startFickleServer();
      const user = `throttled-${at}@example.com`;
      const id = await addScripted(server, user);
      // Two sources of one account, of which the other rests too.
      const sibling = await addScripted(server, `sibling-${at}@example.com`, user);
      refuse(server);
      server.hangUp();
      await waitForFailure(stage, id, /./);
      for (let round = 1; round <= 4; round++) {
        // What ended the session was the network; what follows is the limit.
        // A try of its own may have come before: forgotten in one step with the wait that it left.
        await stage.sql`
          UPDATE sources SET due_at = now(), slow_until = NULL, state = 'disconnected', reason = NULL
          WHERE id = ${rowIdOf(id)}`;
        const source = await waitForFailure(stage, id, /wants fewer connections or requests for now/);
        assertUnsaid('secret-Of-This-Test-4', user, source, stage.lines);
        const { dueInMs, slowForMs } = await readRow(id);
        assert.ok(dueInMs > 2 * MINUTE_MS, `tried again in ${dueInMs} ms`);
        assert.ok(slowForMs > 2 * MINUTE_MS);
        await until(
          async () => (await readRow(sibling)).slowForMs > 2 * MINUTE_MS,
          10_000,
          () => 'the other source does not rest',
        );
        const { failures } = await readRow(id);
        assert.ok(failures <= round + 1);
      }
      assert.deepEqual(await stage.events('source.disabled', id), []);
      // The other one was not let loose by its own due time.
      const tries = server.commands.filter((command) => /LOGIN|AUTHENTICATE/.test(command)).length;
      await stage.sql`UPDATE sources SET due_at = now() WHERE id = ${rowIdOf(sibling)}`;
      await neighbour.assertUntouched();
      assert.equal(server.commands.filter((command) => /LOGIN|AUTHENTICATE/.test(command)).length, tries);
      server.relent();
      await stage.sql`UPDATE sources SET due_at = now(), slow_until = NULL WHERE account = ${user}`;
      await stage.waitForState(id, 'idle');
      await stage.waitForState(sibling, 'idle');
    });

  test('an account of the same name at another server does not suffer for it', async () => {
    const user = 'same-name@example.com';
    const bad = await startFickleServer();
    const id = await addScripted(bad, 'same-name-1@example.com', user);
    const { body } = await stage.addSource('same-name-2@example.com', serverOf(dovecot, user));
    await stage.waitForState(body.id, 'idle');
    bad.refuse(THROTTLE_ANSWERS[0]);
    bad.hangUp();
    await waitForFailure(stage, id, /closed the connection|wants fewer/);
    await stage.hurry(id);
    await waitForFailure(stage, id, /wants fewer/);
    assert.equal((await readRow(body.id)).slowForMs, null);
  });

  test('a quota that is used up is waited for by the hour', async () => {
    const server = await startFickleServer();
    const id = await addScripted(server, 'quota@example.com');
    server.handlers['UID FETCH'] = answerWith('NO [OVERQUOTA] Account exceeded command or bandwidth limits.');
    server.arrive({ raw: mailTo('quota@example.com', 'over the quota') });
    const source = await waitForFailure(stage, id, /used up for now.*OVERQUOTA/);
    assert.equal(source.state, 'backoff');
    const { dueInMs, fault } = await readRow(id);
    assert.equal(fault, 'quota');
    assert.ok(dueInMs > 25 * MINUTE_MS, `tried again in ${dueInMs} ms`);
    delete server.handlers['UID FETCH'];
    const usual = await startScriptedServer();
    after(() => usual.stop());
    server.handlers['UID FETCH'] = ({ args }) => {
      const [, set = '', items = ''] = /^(\S+) (.*)$/s.exec(args) ?? [];
      return [...server.mailbox.fetch(set, items, true), '$tag OK fetched'];
    };
    await stage.sql`UPDATE sources SET slow_until = NULL WHERE account = 'quota@example.com'`;
    await stage.hurry(id);
    await stage.waitForSubjects(['over the quota']);
  });
});

describe('a password that is wrong', () => {
  test('disables after three refusals ten minutes apart, tells so once, and a start begins anew', async () => {
    const user = 'expired@example.com';
    const { body } = await stage.addSource(user, serverOf(dovecot, user));
    await stage.waitForState(body.id, 'idle');
    const password = 'new-Secret-Of-This-Test-4';
    await dovecot.setPassword(user, password);
    await dovecot.kick(user);
    await waitForFailure(stage, body.id, /closed the connection/);
    await stage.hurry(body.id);
    for (const refusal of [1, 2]) {
      const source = await waitForFailure(stage, body.id, /refused the user or the password/);
      assert.match(source.reason, /check user and password/);
      const { fault, failures } = await readRow(body.id);
      assert.deepEqual({ fault, failures }, { fault: 'auth', failures: refusal });
      assert.equal(dovecot.authFailures(user).length, refusal);
      // Whoever wishes for a look now does not shorten the wait: servers lock accounts.
      await stage.service.api('POST', `/v1/sources/${body.id}/sync`, {});
      assert.deepEqual(await stage.events('source.disabled', body.id), []);
      await stage.sql`UPDATE sources SET state = 'disconnected', reason = NULL WHERE account = ${user}`;
      const waitMs = await stage.hurry(body.id);
      assert.ok(waitMs > 9.5 * MINUTE_MS, `would have waited for ${waitMs} ms`);
    }
    const disabled = await stage.waitForState(body.id, 'disabled');
    assert.match(disabled.reason, /refused the user or the password/);
    assertUnsaid(dovecot.password, user, disabled, stage.lines);
    const [event, ...more] = await stage.events('source.disabled', body.id);
    assert.deepEqual(more, []);
    assert.match(String(event?.data.reason), /refused the user or the password/);
    await stage.hurry(body.id);
    await neighbour.assertUntouched();
    assert.equal(dovecot.authFailures(user).length, 3, 'nobody tries any more');

    await dovecot.deliver(user, mailTo(user, 'while it was disabled'));
    // The same password as ever: one more try, and the count begins anew.
    await stage.service.api('POST', `/v1/sources/${body.id}/start`);
    await waitForFailure(stage, body.id, /refused the user or the password/);
    assert.equal((await readRow(body.id)).failures, 1);
    await dovecot.setPassword(user, dovecot.password);
    await stage.service.api('POST', `/v1/sources/${body.id}/start`);
    await stage.waitForSubjects(['while it was disabled']);
    await stage.waitForState(body.id, 'idle');
    await until(
      async () => (await stage.events('source.state_changed', body.id)).length > 0,
      20_000,
      () => 'nobody was told that it is well again',
    );
  });

  test('that is refused as too many at times is counted as neither', async () => {
    const server = await startFickleServer();
    const id = await addScripted(server, 'mixed@example.com');
    server.refuse(AUTHENTICATION_FAILED);
    server.hangUp();
    await waitForFailure(stage, id, /closed the connection|refused the user/);
    for (const answer of [
      AUTHENTICATION_FAILED,
      THROTTLE_ANSWERS[0],
      AUTHENTICATION_FAILED,
      THROTTLE_ANSWERS[1],
    ]) {
      server.refuse(answer);
      await stage.sql`
        UPDATE sources SET state = 'disconnected', reason = NULL, due_at = now(), slow_until = NULL
        WHERE account = 'mixed@example.com'`;
      await waitForFailure(stage, id, answer === AUTHENTICATION_FAILED ? /refused the user/ : /wants fewer/);
    }
    assert.deepEqual(await stage.events('source.disabled', id), []);
  });
});

test('all the while the other mailbox went on', () => neighbour.assertUntouched());
