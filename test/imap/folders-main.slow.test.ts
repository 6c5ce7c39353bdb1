import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import type { Answer } from '../support/service.ts';
import { openSql, startAnew, untilFolderIs } from './reading.ts';
import { accountOf, startScriptedAccount } from './scripted-account.ts';
import { mailTo, startStage, until } from './stage.ts';

/*
 * Without its main folder a source is as good as dead, and says so.
 */

const stage = await startStage({ random: () => 0, imapProbeMs: 400 });
const sql = openSql(stage);
after(async () => {
  await sql.end();
  await stage[Symbol.asyncDispose]();
});

const untilFolder = (id: string, path: string, isSo: (folder: Answer['body']) => boolean) =>
  untilFolderIs(stage, id, path, isSo);
const hasError = ({ error }: Answer['body']) => error !== null;

describe('the folder it idles in', () => {
  test('is refused: the next one takes its place', async () => {
    const account = await startScriptedAccount({ folders: { Work: '', Home: '' } });
    await using _account = account;
    const address = 'main-gone@example.com';
    const folders = [{ path: 'Work' }, { path: 'Home' }];
    const { status, body } = await stage.addSource(address, { ...accountOf(account, address), folders });
    assert.equal(status, 201, JSON.stringify(body));
    await stage.waitForState(body.id, 'idle');
    account.folder('Work').isGone = true;
    await startAnew(stage, body.id);
    await untilFolder(body.id, 'Work', hasError);
    account.arrive('Home', { raw: mailTo(address, 'at home') });
    await stage.waitForSubjects(['at home']);
    await stage.waitForState(body.id, 'idle');
    assert.ok(account.server.sessions().some((session) => account.selected(session) === 'Home'));
  });

  test('is refused time and again: the source is not proven alive, says so, and comes back within minutes', async () => {
    const account = await startScriptedAccount({ folders: { INBOX: '', Junk: '\\Junk' } });
    await using _account = account;
    const address = 'main-refused@example.com';
    const { body } = await stage.addSource(address, accountOf(account, address));
    await stage.waitForState(body.id, 'idle');
    account.folder('INBOX').isGone = true;
    await sql`UPDATE imap_folders SET refusals = 2 WHERE source_id = ${body.id.slice('src_'.length)}`;
    await startAnew(stage, body.id);
    const { parkedUntil } = await untilFolder(body.id, 'INBOX', (folder) => folder.parkedUntil !== null);
    assert.ok(Date.parse(parkedUntil) < Date.now() + 10 * 60_000, parkedUntil);
    await until(
      async () => /main folder "INBOX" is not read/.test((await stage.readSource(body.id)).reason ?? ''),
      20_000,
      () => 'it does not say so',
    );
    // What is noted is written within a second, as of when it was noted.
    const refusedAt = Date.now();
    const probes = () => account.server.commands.filter((command) => /LIST|STATUS/.test(command)).length;
    const before = probes();
    for (const subject of ['junk beside it 1', 'junk beside it 2']) {
      account.arrive('Junk', { raw: mailTo(address, subject) });
      await stage.waitForSubjects([subject]);
    }
    await until(
      () => probes() > before + 4,
      20_000,
      () => 'it is not asked',
    );
    const { lastProvenAliveAt } = await stage.readSource(body.id);
    assert.ok(Date.parse(lastProvenAliveAt) < refusedAt, lastProvenAliveAt);

    account.folder('INBOX').isGone = false;
    await startAnew(stage, body.id);
    await until(
      async () => {
        const { state, reason } = await stage.readSource(body.id);
        return state === 'idle' && reason === null;
      },
      20_000,
      () => 'it does not say that it is well',
    );
  });

  test('and all the others are refused: the source says so, and comes back', async () => {
    const account = await startScriptedAccount({ folders: { INBOX: '' } });
    await using _account = account;
    const address = 'all-gone@example.com';
    const { body } = await stage.addSource(address, accountOf(account, address));
    await stage.waitForState(body.id, 'idle');
    account.folder('INBOX').isGone = true;
    // It may be locked for a moment: within a session it is tried three times, a minute apart.
    await startAnew(stage, body.id);
    const refused = await untilFolder(body.id, 'INBOX', hasError);
    assert.equal(refused.parkedUntil, null);
    await until(
      async () => /main folder "INBOX" is not read/.test((await stage.readSource(body.id)).reason ?? ''),
      20_000,
      () => 'it does not say so',
    );
    await sql`UPDATE imap_folders SET refusals = 2 WHERE source_id = ${body.id.slice('src_'.length)}`;
    await startAnew(stage, body.id);
    const { reason } = await stage.waitForState(body.id, 'backoff');
    assert.match(reason, /folder/);
    account.folder('INBOX').isGone = false;
    account.arrive('INBOX', { raw: mailTo(address, 'it is back') });
    await startAnew(stage, body.id);
    await stage.waitForSubjects(['it is back']);
  });

  test('is refused: another one that idles by itself does not speak for the source', async () => {
    const account = await startScriptedAccount({ folders: { INBOX: '', Support: '' } });
    await using _account = account;
    const address = 'main-refused-beside@example.com';
    const folders = [{ role: 'inbox' }, { path: 'Support', idle: true }];
    const { status, body } = await stage.addSource(address, { ...accountOf(account, address), folders });
    assert.equal(status, 201, JSON.stringify(body));
    await stage.waitForState(body.id, 'idle');
    account.folder('INBOX').isGone = true;
    await startAnew(stage, body.id);
    const isSupportRead = () => account.server.sessions().some((one) => account.selected(one) === 'Support');
    await until(isSupportRead, 20_000, () => 'Support is not watched');
    for (const subject of ['support 1', 'support 2']) {
      account.arrive('Support', { raw: mailTo(address, subject) });
      await stage.waitForSubjects([subject]);
    }
    // Both connections have been at rest for several looks.
    await until(
      () => account.server.commands.filter((command) => /STATUS|NOOP/.test(command)).length > 8,
      20_000,
      () => 'it is not asked',
    );
    await until(
      async () => /main folder "INBOX" is not read/.test((await stage.readSource(body.id)).reason ?? ''),
      20_000,
      () => 'it does not say so',
    );
  });
});
