import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { placeIn, startAnew, stop, untilRead, untilRecovered } from './reading.ts';
import { accountOf, type ScriptedAccount, startScriptedAccount } from './scripted-account.ts';
import { mailTo, startStage, until } from './stage.ts';

/*
 * A folder that has come to fewer UIDs than were read, or to an older mod-sequence, is another one under the same
 * UIDVALIDITY: a backup, or one that was made anew.
 */

const stage = await startStage({ random: () => 0, imapProbeMs: 400 });
after(() => stage[Symbol.asyncDispose]());

const CONDSTORE = 'IMAP4rev1 ID ENABLE IDLE UIDPLUS CONDSTORE SPECIAL-USE AUTH=PLAIN SASL-IR';

async function watch(
  address: string,
  options: { capability?: string } = {},
): Promise<{ account: ScriptedAccount; id: string }> {
  const account = await startScriptedAccount({ folders: { INBOX: '', Junk: '\\Junk' }, ...options });
  for (const path of ['INBOX', 'Junk']) account.folder(path).highestModSeq = 100;
  const { status, body } = await stage.addSource(address, accountOf(account, address));
  assert.equal(status, 201, JSON.stringify(body));
  await stage.waitForState(body.id, 'idle');
  return { account, id: body.id };
}

/** Deleted and made anew by somebody who counts UIDs from 1 again. */
function makeAnew(account: ScriptedAccount, path: string): void {
  const { mailbox } = account.folder(path);
  mailbox.mails = [];
  mailbox.uidNext = 1;
}

describe('a folder that was made anew with the same UIDVALIDITY', () => {
  for (const path of ['INBOX', 'Junk']) {
    test(`while ${path} is watched: its new mails are read, and a gap is kept`, async () => {
      const address = `anew-${path}@example.com`.toLowerCase();
      const { account, id } = await watch(address);
      await using _account = account;
      const of = (names: string[]) => names.map((name) => `${name} in ${path}`);
      for (const subject of of(['first', 'second', 'third']))
        account.arrive(path, { raw: mailTo(address, subject) });
      await stage.waitForSubjects(of(['first', 'second', 'third']));
      await untilRead(stage, id, 3, path);
      makeAnew(account, path);
      account.folder(path).add({ raw: mailTo(address, `fourth in ${path}`) });
      const [gap] = await untilRecovered(stage, id, 1);
      assert.equal(gap.reason, 'state_lost');
      await stage.waitForSubjects(of(['first', 'second', 'third', 'fourth']));
      for (const subject of of(['fifth', 'sixth', 'seventh', 'eighth']))
        account.arrive(path, { raw: mailTo(address, subject) });
      await stage.waitForSubjects(of(['fourth', 'fifth', 'sixth', 'seventh', 'eighth']));
      assert.equal((await placeIn(stage, id, path)).uidValidity, 1);
    });
  }

  test('while nobody watches: its new mails are read', async () => {
    const address = 'anew-away@example.com';
    const { account, id } = await watch(address);
    await using _account = account;
    for (const subject of ['away 1', 'away 2']) account.arrive('INBOX', { raw: mailTo(address, subject) });
    await stage.waitForSubjects(['away 1', 'away 2']);
    await untilRead(stage, id, 2);
    await stage.service.api('POST', `/v1/sources/${id}/stop`);
    await stage.waitForState(id, 'disconnected');
    makeAnew(account, 'INBOX');
    account.folder('INBOX').add({ raw: mailTo(address, 'away 3') });
    await startAnew(stage, id);
    await stage.waitForSubjects(['away 1', 'away 2', 'away 3']);
    const [gap] = await untilRecovered(stage, id, 1);
    assert.equal(gap.reason, 'state_lost');
  });
});

describe('a folder whose mod-sequence is older than it was', () => {
  test('is read anew: its UIDs may have been given out again', async () => {
    const address = 'backup@example.com';
    const { account, id } = await watch(address, { capability: CONDSTORE });
    await using _account = account;
    const { mailbox } = account.folder('INBOX');
    account.arrive('INBOX', { raw: mailTo(address, 'kept in the backup') });
    account.arrive('INBOX', { raw: mailTo(address, 'not in the backup') });
    await stage.waitForSubjects(['kept in the backup', 'not in the backup']);
    await untilRead(stage, id, 2);
    await startAnew(stage, id);
    await stage.waitForState(id, 'idle');
    await stage.service.api('POST', `/v1/sources/${id}/stop`);
    await stage.waitForState(id, 'disconnected');
    // The backup is of before the second mail, and another one has got its UID since.
    account.folder('INBOX').highestModSeq = 50;
    account.folder('INBOX').remove(2);
    mailbox.uidNext = 2;
    account.folder('INBOX').add({ raw: mailTo(address, 'under a UID of before') });
    await startAnew(stage, id);
    await stage.waitForSubjects(['kept in the backup', 'not in the backup', 'under a UID of before']);
    const [gap] = await untilRecovered(stage, id, 1);
    assert.equal(gap.reason, 'state_lost');
  });
});

test('a backup of minutes ago is noticed: the mod-sequence is noted with each page', async () => {
  const address = 'minutes-ago@example.com';
  const { account, id } = await watch(address, { capability: CONDSTORE });
  await using _account = account;
  const folder = account.folder('INBOX');
  await stop(stage, id);
  folder.highestModSeq = 200;
  folder.add({ raw: mailTo(address, 'before the backup') });
  await stage.service.api('POST', `/v1/sources/${id}/start`);
  await untilRead(stage, id, 1);
  await stop(stage, id);
  folder.highestModSeq = 150;
  folder.remove(1);
  folder.mailbox.uidNext = 1;
  folder.add({ raw: mailTo(address, 'under the UID of another') });
  await stage.service.api('POST', `/v1/sources/${id}/start`);
  await stage.waitForSubjects(['before the backup', 'under the UID of another']);
  const [gap] = await untilRecovered(stage, id, 1);
  assert.equal(gap.reason, 'state_lost');
});

test('mail that went before it was read: the folder is left in peace, and the cursor passes nothing', async () => {
  const address = 'went@example.com';
  const { account } = await watch(address);
  await using _account = account;
  const folders = ['INBOX', 'Junk'];
  const count = (pattern: RegExp) => account.server.commands.filter((one) => pattern.test(one)).length;
  const someProbes = async () => {
    const before = count(/LIST|STATUS/);
    await until(
      () => count(/LIST|STATUS/) > before + 16,
      20_000,
      () => 'it is not asked',
    );
  };
  for (const path of folders) account.folder(path).mailbox.uidNext = 4;
  await someProbes();
  const fetches = count(/FETCH/);
  await someProbes();
  assert.ok(count(/FETCH/) <= fetches + 2, `${count(/FETCH/) - fetches} fetches`);

  // A server may show a mail long after it has given out its UID.
  for (const path of folders) {
    account.folder(path).mailbox.uidNext = 3;
    account.folder(path).add({ raw: mailTo(address, `shown late in ${path}`) });
  }
  for (const path of folders) account.arrive(path, { raw: mailTo(address, `after it in ${path}`) });
  await stage.waitForSubjects(folders.flatMap((path) => [`shown late in ${path}`, `after it in ${path}`]));
});
