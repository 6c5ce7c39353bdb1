import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { gapsOf, makeStubsDue, openSql, startAnew, stop, stubsOf, untilRead } from './reading.ts';
import { accountOf, type ScriptedAccount, startScriptedAccount } from './scripted-account.ts';
import { mailTo, startStage } from './stage.ts';

/*
 * A server that says UIDNEXT nowhere: what it has come to is told by its last mail alone, which may be deleted, or not be had.
 */

const stage = await startStage({ random: () => 0, imapProbeMs: 400 });
const sql = openSql(stage);
after(async () => {
  await sql.end();
  await stage[Symbol.asyncDispose]();
});

async function watch(address: string): Promise<{ account: ScriptedAccount; id: string }> {
  const account = await startScriptedAccount({ folders: { INBOX: '' }, isSilentOnUidNext: true });
  account.folder('INBOX').add({ raw: mailTo(address, `first of ${address}`) });
  const { status, body } = await stage.addSource(address, accountOf(account, address));
  assert.equal(status, 201, JSON.stringify(body));
  await stage.waitForState(body.id, 'idle');
  return { account, id: body.id };
}

test('one mail that cannot be had becomes a stub, and those behind it are read', async () => {
  const address = 'withheld@example.com';
  const { account, id } = await watch(address);
  await using _account = account;
  await stop(stage, id);
  for (const subject of ['withheld', 'behind it'])
    account.folder('INBOX').add({ raw: mailTo(address, subject) });
  account.onFetchBytes = (uids) => (uids.includes(2) ? '$tag NO it is damaged' : undefined);
  await stage.service.api('POST', `/v1/sources/${id}/start`);
  await stage.waitForSubjects(['behind it']);
  await untilRead(stage, id, 3);
  assert.equal((await stubsOf(stage, id)).length, 1);
  account.onFetchBytes = () => undefined;
  await makeStubsDue(stage, sql, id);
  await stage.waitForSubjects(['withheld', 'behind it']);
});

test('the last one is refused whatever is asked of it: the folder is opened, and later mail is read', async () => {
  const address = 'last@example.com';
  const { account, id } = await watch(address);
  await using _account = account;
  await stop(stage, id);
  account.folder('INBOX').add({ raw: mailTo(address, 'the last, refused') });
  const { handlers } = account.server;
  const { 'UID FETCH': usual, FETCH: usualBySequence } = handlers;
  assert.ok(usual && usualBySequence);
  const isOfIt = (args: string) => /^2\b/.test(args);
  handlers['UID FETCH'] = (command, session) =>
    isOfIt(command.args) ? '$tag NO it is damaged' : usual(command, session);
  handlers.FETCH = (command, session) =>
    isOfIt(command.args) ? '$tag NO it is damaged' : usualBySequence(command, session);
  await stage.service.api('POST', `/v1/sources/${id}/start`);
  // The folder is opened all the same.
  await account.server.heard(/UID FETCH 2\b/);
  account.arrive('INBOX', { raw: mailTo(address, 'later than the last') });
  await startAnew(stage, id);
  await stage.waitForSubjects(['later than the last']);
  await untilRead(stage, id, 3);
});

test('its newest mail is deleted: nothing is lost by that, and nothing comes twice', async () => {
  const address = 'deleted@example.com';
  const { account, id } = await watch(address);
  await using _account = account;
  for (const subject of ['kept', 'deleted soon']) account.arrive('INBOX', { raw: mailTo(address, subject) });
  await stage.waitForSubjects(['kept', 'deleted soon']);
  await untilRead(stage, id, 3);
  account.folder('INBOX').remove(3);
  await startAnew(stage, id);
  await stage.waitForState(id, 'idle');
  account.arrive('INBOX', { raw: mailTo(address, 'after that') });
  await stage.waitForSubjects(['kept', 'deleted soon', 'after that']);
  await stage.waitForState(id, 'idle');
});

test('the folder is made anew and keeps its UIDVALIDITY: what comes under lower UIDs is read', async () => {
  const address = 'anew@example.com';
  const { account, id } = await watch(address);
  await using _account = account;
  for (const subject of ['before 2', 'before 3']) account.arrive('INBOX', { raw: mailTo(address, subject) });
  await stage.waitForSubjects(['before 2', 'before 3']);
  await untilRead(stage, id, 3);
  await stop(stage, id);
  for (const uid of [1, 2, 3]) account.folder('INBOX').remove(uid);
  account.folder('INBOX').add({ uid: 1, raw: mailTo(address, 'in the new folder') });
  await stage.service.api('POST', `/v1/sources/${id}/start`);
  await stage.waitForSubjects(['in the new folder']);
  assert.ok((await gapsOf(stage, id)).some(({ reason }) => reason === 'state_lost'));
});
