import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { startDovecot } from '../support/imap/dovecot.ts';
import type { Answer } from '../support/service.ts';
import {
  look,
  makeStubsDue,
  openSql,
  placeIn,
  startAnew,
  stubsOf,
  untilFolderIs,
  untilRecovered,
} from './reading.ts';
import { accountOf, startScriptedAccount } from './scripted-account.ts';
import { mailTo, serverOf, startStage, until } from './stage.ts';

/*
 * A folder that cannot be opened costs the others nothing, and says why.
 */

const dovecot = await startDovecot();
const stage = await startStage({ random: () => 0, imapProbeMs: 400 });
const sql = openSql(stage);
after(async () => {
  await sql.end();
  await stage[Symbol.asyncDispose]();
  await dovecot.stop();
});

const FOLDERS = [{ role: 'inbox' }, { path: 'Projects' }];

async function watch(user: string): Promise<string> {
  await dovecot.createFolder(user, 'Projects');
  const { status, body } = await stage.addSource(user, { ...serverOf(dovecot, user), folders: FOLDERS });
  assert.equal(status, 201, JSON.stringify(body));
  await stage.waitForState(body.id, 'idle');
  await dovecot.append(user, mailTo(user, `${user} before`), { folder: 'Projects' });
  await stage.waitForSubjects([`${user} before`]);
  return body.id;
}

const untilFolder = (id: string, path: string, isSo: (folder: Answer['body']) => boolean) =>
  untilFolderIs(stage, id, path, isSo);

const hasError = ({ error }: Answer['body']) => error !== null;

describe('a folder that is deleted while it is watched', () => {
  test('says so, is parked after three refusals, and is read again when it is back; the others go on', async () => {
    const user = 'deleted@example.com';
    const id = await watch(user);
    await dovecot.deleteFolder(user, 'Projects');
    const refused = await untilFolder(id, 'Projects', hasError);
    assert.match(refused.error, /does not open a folder|does not have a folder/);
    assert.equal(refused.parkedUntil, null);
    await dovecot.deliver(user, mailTo(user, 'while it is refused'));
    await stage.waitForSubjects(['while it is refused']);

    // Each session tries it at once; within one there is a minute between the tries.
    for (const _refusal of [2, 3]) {
      await startAnew(stage, id);
      await stage.waitForState(id, 'idle');
    }
    const parked = await untilFolder(id, 'Projects', ({ parkedUntil }) => parkedUntil !== null);
    assert.ok(Date.parse(parked.parkedUntil) > Date.now() + 5 * 3_600_000, parked.parkedUntil);
    const { state, lastProvenAliveAt } = await stage.waitForState(id, 'idle');
    assert.equal(state, 'idle');
    await dovecot.deliver(user, mailTo(user, 'while it is parked'));
    await stage.waitForSubjects(['while it is parked']);
    await until(
      async () => (await stage.readSource(id)).lastProvenAliveAt > lastProvenAliveAt,
      20_000,
      () => 'it is not proven alive while a folder is parked',
    );

    await dovecot.createFolder(user, 'Projects');
    await dovecot.append(user, mailTo(user, 'when it is back'), { folder: 'Projects' });
    await startAnew(stage, id);
    await stage.waitForSubjects(['when it is back']);
    const back = await untilFolder(id, 'Projects', ({ error }) => error === null);
    assert.equal(back.parkedUntil, null);
  });

  test('also while nobody watches: it is not forgotten in silence', async () => {
    const user = 'deleted-away@example.com';
    const id = await watch(user);
    await stage.service.api('POST', `/v1/sources/${id}/stop`);
    await stage.waitForState(id, 'disconnected');
    await dovecot.deleteFolder(user, 'Projects');
    await stage.service.api('POST', `/v1/sources/${id}/start`);
    await stage.waitForState(id, 'idle');
    await untilFolder(id, 'Projects', hasError);
    await dovecot.deliver(user, mailTo(user, 'without the folder'));
    await stage.waitForSubjects(['without the folder']);
  });
});

describe('old mail of a folder that cannot be opened', () => {
  test('waits, and that of the others is read; it is read when the folder can be opened', async () => {
    const account = await startScriptedAccount({ folders: { INBOX: '', Projects: '', Work: '' } });
    await using _account = account;
    const address = 'gap-closed@example.com';
    for (const path of ['INBOX', 'Projects', 'Work'])
      account.folder(path).add({ raw: mailTo(address, `old in ${path}`) });
    const folders = [{ role: 'inbox' }, { path: 'Projects' }, { path: 'Work' }];
    const { body } = await stage.addSource(address, { ...accountOf(account, address), folders });
    await stage.waitForState(body.id, 'idle');
    account.folder('Projects').isGone = true;
    await look(stage, body.id, { since: new Date(Date.now() - 3_600_000).toISOString() });
    await stage.waitForSubjects(['old in INBOX', 'old in Work']);
    account.arrive('INBOX', { raw: mailTo(address, 'new beside a gap') });
    await stage.waitForSubjects(['new beside a gap']);
    await stage.waitForState(body.id, 'idle');
    const sessions = account.server.sessionsMade();
    assert.equal(sessions, 2, 'one to verify it, and one that goes on');
    await until(
      async () => (await stage.readSource(body.id)).counts.openGaps === 1,
      20_000,
      () => 'another number of gaps is open',
    );

    account.folder('Projects').isGone = false;
    await startAnew(stage, body.id);
    await stage.waitForSubjects(['old in INBOX', 'old in Projects', 'old in Work', 'new beside a gap']);
    await untilRecovered(stage, body.id, 3);
  });

  test('is no reason to forget its stubs, or to end the session', async () => {
    const account = await startScriptedAccount({ folders: { INBOX: '', Projects: '' } });
    await using _account = account;
    const address = 'stub-closed@example.com';
    const folders = [{ role: 'inbox' }, { path: 'Projects' }];
    const { body } = await stage.addSource(address, { ...accountOf(account, address), folders });
    await stage.waitForState(body.id, 'idle');
    account.onFetchBytes = () => '$tag NO not now';
    account.arrive('Projects', { raw: mailTo(address, 'withheld in Projects') });
    const stubs = () => stubsOf(stage, body.id);
    await until(
      async () => (await stubs()).length === 1,
      20_000,
      () => 'no stub is kept',
    );
    account.onFetchBytes = () => undefined;
    account.folder('Projects').isGone = true;
    await makeStubsDue(stage, sql, body.id);
    await until(
      async () => (await stubs())[0]?.attempts === 1,
      20_000,
      () => 'the try is not counted',
    );
    await stage.waitForState(body.id, 'idle');
    assert.equal(account.server.sessionsMade(), 2);

    account.folder('Projects').isGone = false;
    await makeStubsDue(stage, sql, body.id);
    await stage.waitForSubjects(['withheld in Projects']);
  });
});

describe('a folder that can be opened and not read', () => {
  for (const command of ['UID FETCH', 'UID SEARCH'] as const)
    test(`as its ${command} is refused, says so; the others go on, on the same connection`, async () => {
      const account = await startScriptedAccount({ folders: { INBOX: '', Junk: '\\Junk' } });
      await using _account = account;
      const address = `corrupt-${command.length}@example.com`;
      const usual = account.server.handlers[command] ?? assert.fail('no such command');
      let isBroken = true;
      account.server.handlers[command] = (given, session) =>
        isBroken && account.selected(session) === 'Junk'
          ? '$tag NO [SERVERBUG] index is corrupt'
          : usual(given, session);
      const { status, body } = await stage.addSource(address, accountOf(account, address));
      assert.equal(status, 201, JSON.stringify(body));
      await stage.waitForState(body.id, 'idle');
      // More than are listed without a search.
      const count = command === 'UID SEARCH' ? 501 : 1;
      for (let at = 1; at < count; at++)
        account.folder('Junk').add({ raw: mailTo(address, `Junk ${command} ${at}`) });
      account.arrive('Junk', { raw: mailTo(address, `Junk ${command}`) });
      const { error } = await untilFolder(body.id, 'Junk', hasError);
      assert.match(error, /index is corrupt|refuses to search/);
      account.arrive('INBOX', { raw: mailTo(address, `beside Junk ${command}`) });
      await stage.waitForSubjects([`beside Junk ${command}`]);
      await stage.waitForState(body.id, 'idle');
      assert.equal(account.server.sessionsMade(), 2, 'one to verify, and one that goes on');
      assert.equal((await placeIn(stage, body.id, 'Junk')).parkedUntil, null);

      isBroken = false;
      await startAnew(stage, body.id);
      await stage.waitForSubjects([`Junk ${command}`]);
      await untilFolder(body.id, 'Junk', (folder) => !hasError(folder));
    });

  test('with a connection of its own leaves the session to the others', async () => {
    const account = await startScriptedAccount({ folders: { INBOX: '', Work: '' } });
    await using _account = account;
    const address = 'alone-gone@example.com';
    const folders = [{ role: 'inbox' }, { path: 'Work', idle: true }];
    const { status, body } = await stage.addSource(address, { ...accountOf(account, address), folders });
    assert.equal(status, 201, JSON.stringify(body));
    await stage.waitForState(body.id, 'idle');
    await until(
      () => account.server.sessions().some((session) => account.selected(session) === 'Work'),
      20_000,
      () => 'Work is not watched',
    );
    const before = account.server.sessionsMade();
    account.folder('Work').isGone = true;
    await startAnew(stage, body.id);
    await untilFolder(body.id, 'Work', hasError);
    account.arrive('INBOX', { raw: mailTo(address, 'beside Work') });
    await stage.waitForSubjects(['beside Work']);
    await stage.waitForState(body.id, 'idle');
    assert.equal(account.server.sessionsMade(), before + 2);
  });
});

describe('a folder that is renamed while it is watched', () => {
  test('is refused under its old name; under the new one it can be chosen, and nothing comes twice', async () => {
    const user = 'renamed@example.com';
    const id = await watch(user);
    await dovecot.renameFolder(user, 'Projects', 'Old projects');
    await dovecot.append(user, mailTo(user, 'under the new name'), { folder: 'Old projects' });
    await untilFolder(id, 'Projects', hasError);
    const since = new Date(Date.now() - 3_600_000).toISOString();
    const { status, body } = await stage.service.api('PATCH', `/v1/sources/${id}`, {
      folders: [{ role: 'inbox' }, { path: 'Old projects' }],
    });
    assert.equal(status, 200, JSON.stringify(body));
    await stage.service.api('POST', `/v1/sources/${id}/sync`, { since });
    await stage.waitForSubjects([`${user} before`, 'under the new name']);
  });
});
