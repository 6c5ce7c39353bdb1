import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { startDovecot } from '../support/imap/dovecot.ts';
import { mailsOf, placeIn, untilRead } from './reading.ts';
import { accountOf, startScriptedAccount } from './scripted-account.ts';
import { mailTo, serverOf, startStage, until } from './stage.ts';

const dovecot = await startDovecot();
const stage = await startStage({ imapProbeMs: 400 });
// Nothing is asked: what comes has been told.
const told = await startStage({ imapProbeMs: 3_600_000 });
after(async () => {
  await stage[Symbol.asyncDispose]();
  await told[Symbol.asyncDispose]();
  await dovecot.stop();
});

const published = (subject: string) => mailsOf(stage).find((mail) => mail.subject === subject);

describe('the folders of a source', () => {
  test('are INBOX and Junk, if nobody says otherwise', async () => {
    const user = 'default@example.com';
    const { body } = await stage.addSource(user, serverOf(dovecot, user));
    assert.deepEqual(body.report.folders, ['INBOX', 'Junk']);
    await stage.waitForState(body.id, 'idle');
    for (const folder of ['Archive', 'Sent', 'Trash', 'Junk', 'INBOX'])
      await dovecot.deliver(user, mailTo(user, `default in ${folder}`), { folder });
    await stage.waitForSubjects(['default in Junk', 'default in INBOX']);
    await untilRead(stage, body.id, 1, 'Junk');
    const others = stage.subjects().filter((subject) => /default in (Archive|Sent|Trash)/.test(subject));
    assert.deepEqual(others, []);
  });

  test('are those that are wanted by role or by path, each with its placement', async () => {
    const user = 'wanted@example.com';
    await dovecot.createFolder(user, 'Clients/Acme');
    const folders = [{ role: 'archive' }, { path: 'Clients/Acme' }, { role: 'trash' }];
    const { status, body } = await stage.addSource(user, { ...serverOf(dovecot, user), folders });
    assert.equal(status, 201, JSON.stringify(body));
    assert.deepEqual(body.report.folders, ['Archive', 'Clients/Acme', 'Trash']);
    await stage.waitForState(body.id, 'idle');
    for (const folder of ['Archive', 'Clients/Acme', 'Trash', 'INBOX'])
      await dovecot.append(user, mailTo(user, `wanted in ${folder}`), { folder });
    await stage.waitForSubjects(['wanted in Archive', 'wanted in Clients/Acme', 'wanted in Trash']);
    assert.equal(published('wanted in Archive')?.placement, 'archive');
    assert.equal(published('wanted in Clients/Acme')?.placement, 'other');
    assert.equal(published('wanted in Trash')?.placement, 'trash');
    assert.equal(published('wanted in INBOX'), undefined);
  });

  test('that are wanted and not there are told at once, with those that are', async () => {
    const user = 'not-there@example.com';
    const folders = [{ role: 'inbox' }, { path: 'Nowhere' }];
    const { status, body } = await stage.addSource(user, { ...serverOf(dovecot, user), folders });
    assert.equal(status, 400);
    assert.match(body.detail, /no folder "Nowhere"; it has .*INBOX/);
  });

  test('that are wanted later are read from then on', async () => {
    const user = 'wanted-later@example.com';
    const { body } = await stage.addSource(user, serverOf(dovecot, user));
    await stage.waitForState(body.id, 'idle');
    await dovecot.append(user, mailTo(user, 'archived before'), { folder: 'Archive' });
    const changed = await stage.service.api('PATCH', `/v1/sources/${body.id}`, {
      folders: [{ role: 'inbox' }, { role: 'archive' }],
    });
    assert.equal(changed.status, 200, JSON.stringify(changed.body));
    await stage.waitForState(body.id, 'idle');
    await dovecot.append(user, mailTo(user, 'archived after'), { folder: 'Archive' });
    await dovecot.deliver(user, mailTo(user, 'into the inbox after'));
    await stage.waitForSubjects(['archived after', 'into the inbox after']);
    assert.equal(published('archived before'), undefined);
  });
});

test('a folder with a long backlog takes turns with the others', async () => {
  const account = await startScriptedAccount({ folders: { INBOX: '', Work: '', Junk: '\\Junk' } });
  await using _account = account;
  const user = 'turns@example.com';
  const folders = [{ role: 'inbox' }, { path: 'Work' }, { role: 'junk' }];
  const { body } = await stage.addSource(user, { ...accountOf(account, user), folders });
  await stage.waitForState(body.id, 'idle');
  const answer = account.server.handlers['UID FETCH'];
  assert.ok(answer);
  account.server.handlers['UID FETCH'] = async (command, session) => {
    if (account.selected(session) === 'Work' && /BODY/.test(command.args)) await wait(400);
    return answer(command, session);
  };
  const count = 4000;
  for (let n = 1; n <= count; n++) account.folder('Work').add({ raw: mailTo(user, `at work ${n}`) });
  await until(
    () => stage.subjects().includes('at work 1'),
    30_000,
    () => 'nothing of the backlog is read',
  );
  account.folder('Junk').add({ raw: mailTo(user, 'junk beside it') });
  await stage.waitForSubjects(['junk beside it']);
  assert.ok(!stage.subjects().includes(`at work ${count}`), 'the backlog goes on');
});

describe('a folder that idles too', () => {
  test('has a connection of its own, and its mail comes without being asked for', async () => {
    const user = 'idles-too@example.com';
    const folders = [{ role: 'inbox' }, { role: 'junk', idle: true }, { role: 'archive' }];
    const { body } = await told.addSource(user, { ...serverOf(dovecot, user), folders });
    await told.waitForState(body.id, 'idle');
    await until(
      () => dovecot.connections(user).length === 2,
      20_000,
      () => `${dovecot.connections(user).length} connections`,
    );
    for (let round = 1; round <= 3; round++) {
      await dovecot.deliver(user, mailTo(user, `told in junk ${round}`), { folder: 'Junk' });
      await dovecot.deliver(user, mailTo(user, `told in the inbox ${round}`));
      await told.waitForSubjects([`told in junk ${round}`, `told in the inbox ${round}`]);
    }
  });

  test('goes on after its connection ended, with all the others', async () => {
    const user = 'kicked@example.com';
    const folders = [{ role: 'inbox' }, { role: 'junk', idle: true }];
    const { body } = await told.addSource(user, {
      ...serverOf(dovecot, user),
      folders,
      settings: { backoffMaxMs: 10_000 },
    });
    await told.waitForState(body.id, 'idle');
    await dovecot.kick(user);
    await dovecot.deliver(user, mailTo(user, 'junk after the kick'), { folder: 'Junk' });
    await dovecot.deliver(user, mailTo(user, 'inbox after the kick'));
    await told.waitForSubjects(['junk after the kick', 'inbox after the kick'], 60_000);
    await told.waitForState(body.id, 'idle');
    await dovecot.deliver(user, mailTo(user, 'told after the kick'), { folder: 'Junk' });
    await told.waitForSubjects(['told after the kick'], 60_000);
  });

  test('beyond the budget of connections is asked like the others', async () => {
    const user = 'beyond@example.com';
    const names = ['junk', 'archive', 'trash', 'sent'];
    const folders = [{ role: 'inbox' }, ...names.map((role) => ({ role, idle: true }))];
    const { status, body } = await stage.addSource(user, { ...serverOf(dovecot, user), folders });
    assert.equal(status, 201, JSON.stringify(body));
    await stage.waitForState(body.id, 'idle');
    for (const folder of ['Junk', 'Archive', 'Trash', 'Sent'])
      await dovecot.append(user, mailTo(user, `beyond in ${folder}`), { folder });
    await stage.waitForSubjects(['Junk', 'Archive', 'Trash', 'Sent'].map((folder) => `beyond in ${folder}`));
    assert.equal(dovecot.connections(user).length, 3);
  });
});

describe('a folder that is made later', () => {
  test('is found and watched, with all that has come to it', async () => {
    const user = 'made-later@example.com';
    const { body } = await stage.addSource(user, serverOf(dovecot, user));
    await stage.waitForState(body.id, 'idle');
    await dovecot.createFolder(user, 'Promotions');
    await dovecot.append(user, mailTo(user, 'promoted early'), { folder: 'Promotions' });
    await stage.waitForSubjects(['promoted early'], 60_000);
    assert.equal(published('promoted early')?.placement, 'promotions');
    await dovecot.append(user, mailTo(user, 'promoted late'), { folder: 'Promotions' });
    await stage.waitForSubjects(['promoted early', 'promoted late']);
    assert.equal((await placeIn(stage, body.id, 'Promotions')).error, null);
  });
});

describe('a folder is read whatever it is called', () => {
  const names = [
    'Entwürfe & Pläne',
    '日本語 メール',
    'with "quotes"',
    "it's %41 100% off",
    'all * of it',
    'back\\slash',
    'semi;colon=1',
    '& alone &- and &AOQ-',
    ' led by a space',
  ];
  for (const [at, name] of names.entries()) {
    test(`"${name}"`, async (t) => {
      const user = `named-${at}@example.com`;
      try {
        await dovecot.createFolder(user, name);
      } catch (error) {
        return t.skip(`Dovecot takes no such name: ${error}`);
      }
      const folders = [{ role: 'inbox' }, { path: name }];
      const { status, body } = await stage.addSource(user, { ...serverOf(dovecot, user), folders });
      assert.equal(status, 201, JSON.stringify(body));
      assert.deepEqual(body.report.folders, ['INBOX', name]);
      await stage.waitForState(body.id, 'idle');
      await dovecot.append(user, mailTo(user, `first in ${at}`), { folder: name });
      await stage.waitForSubjects([`first in ${at}`]);
      assert.equal(published(`first in ${at}`)?.folder, name);
      await dovecot.flipUidValidity(user, name);
      await dovecot.append(user, mailTo(user, `second in ${at}`), { folder: name });
      await stage.waitForSubjects([`first in ${at}`, `second in ${at}`], 40_000);
      await untilRead(stage, body.id, 1, name);
    });
  }
});
