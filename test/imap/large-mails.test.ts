import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startScriptedServer } from '../support/imap/scripted-server.ts';
import { mailTo, startStage, until } from './stage.ts';

/* Mails as large as they may be, from servers that take their time: their memory is bounded, and nobody else waits for it. */

const MIB = 1024 * 1024;
const stage = await startStage({ bodyLimitBytes: 32 * MIB });
after(() => stage[Symbol.asyncDispose]());

async function addAccount(user: string) {
  const server = await startScriptedServer();
  after(() => server.stop());
  const auth = { type: 'password', user, password: 'x' };
  const source = { host: '127.0.0.1', port: server.port, security: 'none', auth };
  const { status, body } = await stage.addSource(user, source);
  assert.equal(status, 201, JSON.stringify(body));
  await stage.waitForState(body.id, 'idle');
  return server;
}

test('large mails that come slowly hold up no page of another mailbox', async () => {
  const slow = await Promise.all([1, 2, 3, 4].map((n) => addAccount(`slow-${n}@example.com`)));
  const usual = await addAccount('usual@example.com');
  const body = 'a line of a large mail that is as long as lines are\r\n';
  const letGo: (() => void)[] = [];
  const asked = () => letGo.length;
  for (const [at, server] of slow.entries()) {
    const answer = server.handlers['UID FETCH'];
    assert.ok(answer);
    server.handlers['UID FETCH'] = async (command, session) => {
      if (/BODY/.test(command.args)) await new Promise<void>((resolve) => letGo.push(resolve));
      return answer(command, session);
    };
    server.arrive({
      raw: mailTo(`slow-${at + 1}@example.com`, `large ${at + 1}`) + body.repeat((20 * MIB) / body.length),
    });
  }
  await until(
    () => asked() > 0,
    20_000,
    () => 'no large mail is fetched',
  );
  for (const n of [1, 2, 3]) {
    usual.arrive({ raw: mailTo('usual@example.com', `usual ${n}`) + body.repeat(MIB / body.length) });
    await stage.waitForSubjects([`usual ${n}`]);
  }
  assert.equal(asked(), 1, 'so much of large mail is in memory at a time');
  letGo[0]?.();
  await until(
    () => asked() > 1,
    60_000,
    () => 'the next large mail is not fetched',
  );
});
