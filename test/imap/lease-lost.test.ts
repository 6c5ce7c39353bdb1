import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { openSql, placeIn } from './reading.ts';
import { accountOf, startScriptedAccount } from './scripted-account.ts';
import { mailTo, startStage, until } from './stage.ts';

/* What is not kept although nobody else reads the source would be tried for ever: it is a failure like others. */

const stage = await startStage({ random: () => 0, imapProbeMs: 400, scanIntervalMs: 200 });
after(() => stage[Symbol.asyncDispose]());
const sql = openSql(stage);
after(() => sql.end());

test('a page that is not kept waits and counts, as a fault of ours, while the lease is still ours', async () => {
  await using account = await startScriptedAccount({ folders: { INBOX: '' } });
  const address = 'moved-cursor@example.com';
  const { body } = await stage.addSource(address, accountOf(account, address));
  await stage.waitForState(body.id, 'idle');
  account.folder('INBOX').add({ raw: mailTo(address, 'already passed') });
  await sql`UPDATE imap_folders SET uid = 1 WHERE source_id = ${body.id.slice(4)}`;
  account.arrive('INBOX', { raw: mailTo(address, 'behind the cursor') });
  const failing = await stage.waitForState(body.id, 'backoff');
  assert.match(failing.reason, /what was read was not kept/);
  const [row] = await sql`
    SELECT fault, failures, due_at > now() + interval '8 seconds' AS waits FROM sources WHERE id = ${body.id.slice(4)}`;
  assert.deepEqual({ ...row }, { fault: 'internal', failures: 1, waits: true });
  await sql`UPDATE sources SET due_at = now() WHERE id = ${body.id.slice(4)}`;
  await stage.waitForSubjects(['behind the cursor']);
});

test('a source that was reset meanwhile has no failure', async () => {
  await using account = await startScriptedAccount({ folders: { INBOX: '' } });
  const address = 'reset-meanwhile@example.com';
  const { body } = await stage.addSource(address, accountOf(account, address));
  await stage.waitForState(body.id, 'idle');
  account.arrive('INBOX', { raw: mailTo(address, 'before the reset') });
  await stage.service.api('POST', `/v1/sources/${body.id}/reset`);
  await stage.waitForSubjects(['before the reset']);
  await stage.waitForState(body.id, 'idle');
  const [row] = await sql`SELECT fault, failures FROM sources WHERE id = ${body.id.slice(4)}`;
  assert.deepEqual({ ...row }, { fault: null, failures: 0 });
});

test('a folder whose name is no text is left out, and said so when it is wanted', async () => {
  await using account = await startScriptedAccount({ folders: { INBOX: '', '&2AA-': '\\Junk' } });
  const address = 'half-a-character@example.com';
  const { status, body } = await stage.addSource(address, accountOf(account, address));
  assert.equal(status, 201, JSON.stringify(body));
  await stage.waitForState(body.id, 'idle');
  const sessions = account.server.sessionsMade();
  account.arrive('INBOX', { raw: mailTo(address, 'in the inbox') });
  await stage.waitForSubjects(['in the inbox']);
  await until(
    async () => (await placeIn(stage, body.id)).uid === 1,
    10_000,
    () => 'the inbox is not read',
  );
  assert.deepEqual(
    (await stage.readSource(body.id)).imap.folders.map(({ path }: { path: string }) => path),
    ['INBOX'],
  );
  assert.equal(account.server.sessionsMade(), sessions);
  const wanted = { ...accountOf(account, 'wants-junk@example.com'), folders: [{ role: 'junk' }] };
  const refused = await stage.addSource('wants-junk@example.com', wanted);
  assert.equal(refused.status, 400);
  assert.match(refused.body.detail, /no folder for junk \(one whose name is no text is left out\)/);
});
