import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { gapsOf, makeStubsDue, openSql, stop, stubsOf, untilRead, untilRecovered } from './reading.ts';
import { accountOf, imapDate, startScriptedAccount } from './scripted-account.ts';
import { mailTo, startStage, until } from './stage.ts';

/* A reset, and a move to another server, have mail read again; what was still to be fetched or listed is not lost by it. */

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const REFUSED = '$tag NO [SERVERBUG] not now';

const stage = await startStage({ random: () => 0, imapProbeMs: 400, scanIntervalMs: 200 });
after(() => stage[Symbol.asyncDispose]());
const sql = openSql(stage);
after(() => sql.end());

const ago = (ms: number) => imapDate(new Date(Date.now() - ms));

test('a reset of a folder that got new UIDs keeps what was stubbed and what was half listed', async () => {
  await using account = await startScriptedAccount({ folders: { INBOX: '' } });
  const address = 'half-listed@example.com';
  const inbox = account.folder('INBOX');
  const subjects = Array.from({ length: 520 }, (_, at) => `half listed ${at}`);
  for (const subject of subjects)
    inbox.add({ raw: mailTo(address, subject), internalDate: ago(30 * DAY_MS) });
  // The first page becomes stubs that cannot be fetched; the second is never listed.
  account.onFetchBytes = () => REFUSED;
  const { handlers } = account.server;
  const usual = handlers['UID SEARCH'];
  let searches = 0;
  handlers['UID SEARCH'] = (command, session) => {
    if (typeof usual !== 'function') throw new Error('no search');
    return /SINCE/.test(command.args) && ++searches > 1 ? REFUSED : usual(command, session);
  };
  const since = new Date(Date.now() - 40 * DAY_MS).toISOString();
  const { status, body } = await stage.addSource(address, { ...accountOf(account, address), since });
  assert.equal(status, 201, JSON.stringify(body));
  await until(
    async () => (await stubsOf(stage, body.id)).length === 500,
    20_000,
    () => 'the first page is not listed',
  );
  await stop(stage, body.id);
  inbox.mailbox.uidValidity = 77;
  account.onFetchBytes = () => undefined;
  if (usual !== undefined) handlers['UID SEARCH'] = usual;

  assert.equal((await stage.service.api('POST', `/v1/sources/${body.id}/reset`)).status, 200);
  await stage.service.api('POST', `/v1/sources/${body.id}/start`);
  await stage.waitForSubjects(subjects, 60_000);
  const gaps = await untilRecovered(stage, body.id, 3);
  assert.deepEqual(
    new Set(gaps.map(({ reason }) => reason)),
    new Set(['requested', 'reset', 'uidvalidity_changed']),
  );
});

test('a reset does not pass mail behind the cursor whose date is old', async () => {
  await using account = await startScriptedAccount({ folders: { INBOX: '' } });
  const address = 'old-date@example.com';
  const { body } = await stage.addSource(address, accountOf(account, address));
  await stage.waitForState(body.id, 'idle');
  await stop(stage, body.id);
  account.folder('INBOX').add({ raw: mailTo(address, 'moved here'), internalDate: ago(90 * DAY_MS) });
  await stage.service.api('POST', `/v1/sources/${body.id}/reset`);
  await stage.service.api('POST', `/v1/sources/${body.id}/start`);
  await stage.waitForSubjects(['moved here']);
});

test('a reset reads again what the cursor has passed, and nothing comes twice', async () => {
  await using account = await startScriptedAccount({ folders: { INBOX: '' } });
  const address = 'passed@example.com';
  const { body } = await stage.addSource(address, accountOf(account, address));
  await stage.waitForState(body.id, 'idle');
  account.arrive('INBOX', { raw: mailTo(address, 'known') });
  await stage.waitForSubjects(['known']);
  await stop(stage, body.id);
  // As if it had been passed without a trace.
  const uid = account.folder('INBOX').add({ raw: mailTo(address, 'passed'), internalDate: ago(2 * DAY_MS) });
  await sql`UPDATE imap_folders SET uid = ${uid} WHERE source_id = ${body.id.slice(4)}`;
  await stage.service.api('POST', `/v1/sources/${body.id}/reset`);
  await stage.service.api('POST', `/v1/sources/${body.id}/start`);
  await stage.waitForSubjects(['known', 'passed']);
  await untilRecovered(stage, body.id, 1);
});

test('a move to another server finds there what could not be fetched at the old one', async () => {
  await using account = await startScriptedAccount({ folders: { INBOX: '' } });
  await using other = await startScriptedAccount({ folders: { INBOX: '' } });
  const address = 'stubbed@example.com';
  const { body } = await stage.addSource(address, accountOf(account, address));
  await stage.waitForState(body.id, 'idle');
  account.onFetchBytes = () => REFUSED;
  const uid = account.arrive('INBOX', { raw: mailTo(address, 'stubbed'), internalDate: ago(2 * DAY_MS) });
  await untilRead(stage, body.id, uid);
  assert.equal((await stubsOf(stage, body.id)).length, 1);
  // The same UID is another mail's there.
  other.folder('INBOX').add({ raw: mailTo(address, 'nobody asked for it'), internalDate: ago(90 * DAY_MS) });
  other.folder('INBOX').add({ raw: mailTo(address, 'stubbed'), internalDate: ago(2 * DAY_MS) });
  const moved = { ...accountOf(other, address), host: 'localhost' };
  const { status, body: said } = await stage.service.api('PATCH', `/v1/sources/${body.id}`, moved);
  assert.equal(status, 200, JSON.stringify(said));
  await makeStubsDue(stage, sql, body.id);
  await stage.waitForSubjects(['stubbed']);
  await untilRecovered(stage, body.id, 1);
  assert.ok((await gapsOf(stage, body.id)).some(({ reason }) => reason === 'reset'));
  assert.ok(!stage.subjects().includes('nobody asked for it'));
});
