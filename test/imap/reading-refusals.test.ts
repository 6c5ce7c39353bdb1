import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { mailsOf, makeStubsDue, openSql, stubsOf, untilRead } from './reading.ts';
import { accountOf, type ScriptedAccount, startScriptedAccount } from './scripted-account.ts';
import { mailTo, startStage, until } from './stage.ts';

/*
 * A server that refuses a FETCH because of one mail, on a connection that stays: the other mails arrive.
 */

const stage = await startStage({ random: () => 0, imapProbeMs: 400 });
const sql = openSql(stage);
after(async () => {
  await sql.end();
  await stage[Symbol.asyncDispose]();
});

async function watch(address: string): Promise<{ account: ScriptedAccount; id: string }> {
  const account = await startScriptedAccount({ folders: { INBOX: '' } });
  const { status, body } = await stage.addSource(address, accountOf(account, address));
  assert.equal(status, 201, JSON.stringify(body));
  await stage.waitForState(body.id, 'idle');
  return { account, id: body.id };
}

/** Whatever FETCH names this mail is refused. */
function refuseFetch(account: ScriptedAccount, uid: number, answer: string, when = /./): void {
  const usual = account.server.handlers['UID FETCH'] ?? assert.fail('no FETCH');
  account.server.handlers['UID FETCH'] = (command, session) =>
    names(command.args, uid) && when.test(command.args) ? answer : usual(command, session);
}

function names(args: string, uid: number): boolean {
  const [set = ''] = args.split(' ');
  return set.split(',').some((range) => {
    const [from, to = from] = range.split(':');
    return Number(from) <= uid && (to === '*' || Number(to) >= uid);
  });
}

describe('a mail whose listing is refused', { concurrency: true }, () => {
  test('is passed as a stub, and those before and behind it arrive in the same session', async () => {
    const address = 'unlisted@example.com';
    const { account, id } = await watch(address);
    await using _account = account;
    const usual = account.server.handlers['UID FETCH'];
    refuseFetch(account, 2, '$tag NO Some messages could not be FETCHed');
    const folder = account.folder('INBOX');
    for (const subject of ['unlisted 1', 'unlisted 2']) folder.add({ raw: mailTo(address, subject) });
    account.arrive('INBOX', { raw: mailTo(address, 'unlisted 3') });
    await stage.waitForSubjects(['unlisted 1', 'unlisted 3']);
    await untilRead(stage, id, 3);
    const [stub, ...others] = await stubsOf(stage, id);
    assert.equal(others.length, 0);
    assert.deepEqual([stub.providerId, stub.status], ['INBOX;UIDVALIDITY=1/;UID=2', 'pending']);
    assert.equal(account.server.sessionsMade(), 2, 'one to verify, and one that goes on');

    if (usual) account.server.handlers['UID FETCH'] = usual;
    await makeStubsDue(stage, sql, id);
    await stage.waitForSubjects(['unlisted 2']);
  });

  test('although its bytes can be had, arrives', async () => {
    const address = 'sizeless@example.com';
    const { account, id } = await watch(address);
    await using _account = account;
    refuseFetch(account, 2, '$tag NO [SERVERBUG] its size is not known', /RFC822\.SIZE/);
    const subjects = [1, 2, 3].map((count) => `sizeless ${count}`);
    const folder = account.folder('INBOX');
    for (const subject of subjects.slice(0, 2)) folder.add({ raw: mailTo(address, subject) });
    account.arrive('INBOX', { raw: mailTo(address, subjects[2]) });
    await stage.waitForSubjects(subjects);
    await untilRead(stage, id, 3);
    assert.deepEqual(await stubsOf(stage, id), []);
  });

  test('in a gap, keeps none of the others', async () => {
    const address = 'gap-unlisted@example.com';
    const account = await startScriptedAccount({ folders: { INBOX: '' } });
    await using _account = account;
    const subjects = [1, 2, 3].map((count) => `gap unlisted ${count}`);
    for (const subject of subjects) account.folder('INBOX').add({ raw: mailTo(address, subject) });
    refuseFetch(account, 2, '$tag NO Some messages could not be FETCHed');
    const since = new Date(Date.now() - 3_600_000).toISOString();
    const { body } = await stage.addSource(address, { ...accountOf(account, address), since });
    await stage.waitForSubjects(['gap unlisted 1', 'gap unlisted 3']);
    const pending = async () => (await stubsOf(stage, body.id)).filter(({ status }) => status === 'pending');
    await until(
      async () => (await pending()).length === 1,
      20_000,
      () => 'another number of stubs waits',
    );
    assert.equal(account.server.sessionsMade(), 2, 'one to verify, and one that goes on');
  });
});

test('nothing of this came twice', () => {
  const ids = mailsOf(stage).map(({ id }) => id);
  assert.equal(new Set(ids).size, ids.length);
});
