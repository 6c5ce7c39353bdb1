import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { uuidOf } from '../../src/core/ids.ts';
import { addSource, batch, gmailItem } from '../support/service.ts';
import { eventsOf, openSql, placeIn, stop, untilRead, untilRecovered } from './reading.ts';
import { accountOf, imapDate, type ScriptedAccount, startScriptedAccount } from './scripted-account.ts';
import { mailTo, startStage, until } from './stage.ts';

/* Mail that lies behind what a reset, a wake-up or a lost state goes on from: its date alone is no reason to pass it. */

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

const stage = await startStage(
  { random: () => 0, imapProbeMs: 400, scanIntervalMs: 200, outageAfterMs: 4000, silenceLookMs: 500 },
  ['message.received', 'source.silent', 'source.state_changed'],
);
after(() => stage[Symbol.asyncDispose]());
const sql = openSql(stage);
after(() => sql.end());

const ago = (ms: number) => imapDate(new Date(Date.now() - ms));

async function watch(account: ScriptedAccount, address: string): Promise<string> {
  const { status, body } = await stage.addSource(address, accountOf(account, address));
  assert.equal(status, 201, JSON.stringify(body));
  await stage.waitForState(body.id, 'idle');
  return body.id;
}

const start = (id: string) => stage.service.api('POST', `/v1/sources/${id}/start`);

describe('nothing is lost', () => {
  test('by a reset in the middle of a backlog', async () => {
    await using account = await startScriptedAccount({ folders: { INBOX: '' } });
    const address = 'backlog-reset@example.com';
    const id = await watch(account, address);
    await stop(stage, id);
    // It was away for six hours.
    await sql`UPDATE imap_folders SET read_at = now() - interval '6 hours' WHERE source_id = ${id.slice(4)}`;
    const subjects = Array.from({ length: 130 }, (_, at) => `backlog ${at + 1}`);
    for (const subject of subjects)
      account.arrive('INBOX', { raw: mailTo(address, subject), internalDate: ago(5 * HOUR_MS) });
    // The second page is never answered.
    account.onFetchBytes = (uids) => (uids.includes(100) ? '' : undefined);
    await start(id);
    await untilRead(stage, id, 64);
    assert.ok((await placeIn(stage, id)).uid < 100);
    const { status } = await stage.service.api('POST', `/v1/sources/${id}/reset`);
    assert.equal(status, 200);
    account.onFetchBytes = () => undefined;
    await stage.waitForSubjects(subjects, 60_000);
    const [gap] = await untilRecovered(stage, id, 1);
    assert.equal(gap.reason, 'reset');
  });

  test('in one folder by what a wake-up finds in another', async () => {
    await using account = await startScriptedAccount({ folders: { INBOX: '', Junk: '\\Junk' } });
    const script = await addSource(stage.service, 'apps-script');
    const item = gmailItem('18c1', mailTo('me@example.com', 'stored by the script'), {
      internalDate: `${Date.now() - 5 * HOUR_MS}`,
    });
    assert.equal((await stage.service.push(script, batch([item]))).status, 200);
    const made = await stage.service.api('POST', `/v1/mailboxes/${script.mailboxId}/sources`, {
      kind: 'imap',
      standby: true,
      ...accountOf(account, 'woken@example.com'),
    });
    assert.equal(made.status, 201, JSON.stringify(made.body));
    account.arrive('Junk', {
      raw: mailTo('woken@example.com', 'junk of before'),
      internalDate: ago(4 * HOUR_MS),
    });
    account.arrive('INBOX', {
      raw: mailTo('woken@example.com', 'news of now'),
      internalDate: ago(MINUTE_MS),
    });
    // Until the script's sign of life, which is written a little later, is long ago.
    await until(
      async () => {
        await sql`
          UPDATE sources SET last_proven_alive_at = now() - interval '50 minutes' WHERE id = ${script.id.slice(4)}`;
        return (await stage.readSource(made.body.id)).state !== 'standby';
      },
      30_000,
      () => 'the standby sleeps on',
    );
    await stage.waitForSubjects(['news of now', 'junk of before'], 40_000);
  });

  test('behind the cursor of a folder whose mod-sequence went back', async () => {
    const capability = 'IMAP4rev1 ID ENABLE IDLE UIDPLUS CONDSTORE SPECIAL-USE AUTH=PLAIN SASL-IR';
    await using account = await startScriptedAccount({ folders: { INBOX: '' }, capability });
    account.folder('INBOX').highestModSeq = 100;
    const address = 'restored@example.com';
    const id = await watch(account, address);
    account.arrive('INBOX', { raw: mailTo(address, 'restored 1') });
    await untilRead(stage, id, 1);
    await stop(stage, id);
    account.folder('INBOX').highestModSeq = 50;
    // Moved here, it keeps its date.
    account.arrive('INBOX', { raw: mailTo(address, 'restored 2'), internalDate: ago(240 * HOUR_MS) });
    await start(id);
    await stage.waitForSubjects(['restored 1', 'restored 2']);
    const [gap] = await untilRecovered(stage, id, 1);
    assert.equal(gap.reason, 'state_lost');
  });

  test('by another name for the same server', async () => {
    await using account = await startScriptedAccount({ folders: { INBOX: '' } });
    const address = 'renamed-provider@example.com';
    const id = await watch(account, address);
    await stop(stage, id);
    account.arrive('INBOX', { raw: mailTo(address, 'while it was stopped') });
    const changed = await stage.service.api('PATCH', `/v1/sources/${id}`, { provider: 'fastmail' });
    assert.equal(changed.status, 200, JSON.stringify(changed.body));
    await stage.waitForSubjects(['while it was stopped']);
  });
});

test('a folder whose last mails are gone before they are read is no outage', async () => {
  await using account = await startScriptedAccount({ folders: { INBOX: '', Junk: '\\Junk' } });
  const address = 'vanished@example.com';
  const id = await watch(account, address);
  await stop(stage, id);
  for (const path of ['INBOX', 'Junk']) {
    account.folder(path).remove(account.arrive(path, { raw: mailTo(address, `gone from ${path}`) }));
  }
  await start(id);
  const isProvenLater = async () => {
    const [row] = await sql`
      SELECT last_proven_alive_at > wanted_at + interval '6 seconds' AS "isSo" FROM sources WHERE id = ${uuidOf(id as never)}`;
    return row?.isSo === true;
  };
  await until(isProvenLater, 30_000, () => 'it is not proven alive');
  assert.equal((await stage.readSource(id)).state, 'idle');
  const told = [...eventsOf(stage, 'source.silent'), ...eventsOf(stage, 'source.state_changed')];
  assert.deepEqual(
    told.filter(({ source }) => source.id === id),
    [],
  );
});
