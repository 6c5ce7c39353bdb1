import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { startAnew } from './reading.ts';
import { accountOf, startScriptedAccount } from './scripted-account.ts';
import { mailTo, startStage } from './stage.ts';

/*
 * A LIST that tells of no folder says nothing of the folders.
 */

const stage = await startStage({ random: () => 0, imapProbeMs: 400 });
after(() => stage[Symbol.asyncDispose]());

describe('a LIST', () => {
  for (const [name, answer] of [
    ['that is empty', '$tag OK listed'],
    ['that is refused', '$tag NO not now'],
  ] as const) {
    test(`${name} is no sign that the folders are gone: those that are known are read`, async () => {
      const account = await startScriptedAccount({ folders: { INBOX: '', Junk: '\\Junk' } });
      await using _account = account;
      const address = `list-${answer.length}@example.com`;
      const { body } = await stage.addSource(address, accountOf(account, address));
      await stage.waitForState(body.id, 'idle');
      account.server.handlers.LIST = () => answer;
      await startAnew(stage, body.id);
      await stage.waitForState(body.id, 'idle');
      for (const path of ['INBOX', 'Junk'])
        account.arrive(path, { raw: mailTo(address, `${path} and a LIST ${name}`) });
      await stage.waitForSubjects(['INBOX', 'Junk'].map((path) => `${path} and a LIST ${name}`));
    });
  }
});

test('without a LIST the inbox is the main folder, and one that was taken from the source is not read', async () => {
  const address = 'taken@example.com';
  await using account = await startScriptedAccount({ folders: { Archive: '', INBOX: '', Private: '' } });
  const folders = [{ role: 'inbox' }, { path: 'Archive' }];
  const { status, body } = await stage.addSource(address, {
    ...accountOf(account, address),
    folders: [...folders, { path: 'Private' }],
  });
  assert.equal(status, 201, JSON.stringify(body));
  await stage.waitForState(body.id, 'idle');
  const changed = await stage.service.api('PATCH', `/v1/sources/${body.id}`, { folders });
  assert.equal(changed.status, 200, JSON.stringify(changed.body));
  account.server.handlers.LIST = () => '$tag OK listed';
  await startAnew(stage, body.id);
  await stage.waitForState(body.id, 'idle');
  const idling = account.server.sessions().map((session) => account.selected(session));
  assert.deepEqual(idling, ['INBOX']);
  account.arrive('Private', { raw: mailTo(address, 'to the private one') });
  for (const path of ['INBOX', 'Archive']) account.arrive(path, { raw: mailTo(address, `to ${path}`) });
  await stage.waitForSubjects(['to INBOX', 'to Archive']);
  await stage.waitForState(body.id, 'idle');
  assert.ok(!stage.subjects().includes('to the private one'));
  assert.deepEqual(account.fetched('Private'), []);
});
