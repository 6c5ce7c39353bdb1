import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startScriptedServer } from '../support/imap/scripted-server.ts';
import { makeStubsDue, openSql, stubsOf } from './reading.ts';
import { mailTo, startStage, until } from './stage.ts';

/* Mails as large as they may be, from servers that take their time: their memory is bounded, and nobody else waits for it for long. */

const MIB = 1024 * 1024;
const LINE = 'a line of a large mail that is as long as lines are\r\n';
const stage = await startStage({
  bodyLimitBytes: 32 * MIB,
  imapTimeouts: { roomMs: 2000 },
  imapProbeMs: 500,
});
const sql = openSql(stage);
after(async () => {
  await sql.end();
  await stage[Symbol.asyncDispose]();
});

/** An account whose first mail is not given until the test says so. */
async function addAccount(user: string) {
  const server = await startScriptedServer();
  after(() => server.stop());
  const auth = { type: 'password', user, password: 'x' };
  const source = { host: '127.0.0.1', port: server.port, security: 'none', auth };
  const { status, body } = await stage.addSource(user, source);
  assert.equal(status, 201, JSON.stringify(body));
  await stage.waitForState(body.id, 'idle');
  const given = Promise.withResolvers<void>();
  let isAsked = false;
  const answer = server.handlers['UID FETCH'];
  assert.ok(answer);
  server.handlers['UID FETCH'] = async (command, session) => {
    if (/^1 .*BODY/.test(command.args)) {
      isAsked = true;
      await given.promise;
    }
    return answer(command, session);
  };
  return {
    id: body.id as string,
    give: given.resolve,
    isAsked: () => isAsked,
    arrive: (subject: string, sizeBytes: number) =>
      server.arrive({ raw: mailTo(user, subject) + LINE.repeat(sizeBytes / LINE.length) }),
  };
}

test('large mails that come slowly hold up no page of another mailbox, and those that wait hold up no session', async () => {
  const names = ['one', 'two', 'three', 'four'];
  const slow = await Promise.all(names.map((name) => addAccount(`${name}@example.com`)));
  const usual = await addAccount('usual@example.com');
  usual.give();
  for (const [at, account] of slow.entries()) account.arrive(`large ${names[at]}`, 20 * MIB);
  await until(
    () => slow.some(({ isAsked }) => isAsked()),
    20_000,
    () => 'no large mail is fetched',
  );
  usual.arrive('usual', MIB);
  await stage.waitForSubjects(['usual']);
  const waiting = slow.filter(({ isAsked }) => !isAsked());
  assert.equal(waiting.length, 3, 'so much of large mail is in memory at a time');

  const [next] = waiting;
  assert.ok(next);
  next.arrive('behind one that waits', 1000);
  await stage.waitForSubjects(['behind one that waits']);
  const [stub] = await stubsOf(stage, next.id);
  assert.match(stub.error, /no room for it in memory/);

  for (const { give } of slow) give();
  await until(
    async () => {
      await makeStubsDue(stage, sql, next.id);
      return next.isAsked();
    },
    60_000,
    () => 'it is not fetched when there is room',
  );
});
