import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { ImapFlow } from 'imapflow';
import postgres from 'postgres';
import { startDovecot } from '../support/imap/dovecot.ts';
import { startFaultProxy } from '../support/imap/fault-proxy.ts';
import { addSource, batch, gmailItem, type PushSource } from '../support/service.ts';
import { accountOf, imapDate, startScriptedAccount } from './scripted-account.ts';
import { mailTo, serverOf, startStage, until } from './stage.ts';

const MINUTE_MS = 60_000;
const CAPABILITY = 'IMAP4rev1 ID ENABLE IDLE NAMESPACE SPECIAL-USE LIST-STATUS AUTH=PLAIN SASL-IR X-GM-EXT-1';

const stage = await startStage({ imapProbeMs: 500, scanIntervalMs: 200 });
after(() => stage[Symbol.asyncDispose]());
const { service } = stage;
const sql = postgres(service.databaseUrl, { max: 2, onnotice: () => {} });
after(() => sql.end({ timeout: 5 }));

/** What the passing of time does: a source was last heard of so long ago. */
async function fallSilent(id: string, minutes: number): Promise<void> {
  await until(
    async () => {
      await sql`
        UPDATE sources SET last_proven_alive_at = now() - ${minutes}::int * interval '1 minute' WHERE id = ${id.slice(4)}`;
      // A sign of life may still have to be written: each is within a second.
      await wait(1200);
      const [row] = await sql`
        SELECT last_proven_alive_at < now() - interval '1 minute' AS "isSilent" FROM sources WHERE id = ${id.slice(4)}`;
      return row?.isSilent;
    },
    20_000,
    () => `${id} goes on being heard of`,
  );
}

/** Lets a standby's time to look come, several times. */
async function stayAsleep(id: string): Promise<void> {
  for (const _ of [1, 2, 3]) {
    await sql`UPDATE sources SET due_at = now() WHERE id = ${id.slice(4)}`;
    await wait(1000);
  }
  const { state, mode } = await stage.readSource(id);
  assert.deepEqual([state, mode], ['standby', 'standby']);
}

async function ping(source: PushSource): Promise<void> {
  const response = await service.push(source, '{"kind":"ping"}');
  assert.equal(response.status, 200);
}

describe('a standby beside a script', () => {
  test('sleeps while the script is alive, reads when it is silent, and nothing comes twice', async () => {
    await using account = await startScriptedAccount({ folders: { INBOX: '' }, capability: CAPABILITY });
    const { server } = account;
    const script = await addSource(service, 'apps-script');
    const user = 'standby@example.com';
    let ids = 0x18c0000000;

    /** Into the account, and by the script too if it runs. */
    async function arrive(subject: string, isPushed: boolean, minutesAgo = 0): Promise<void> {
      const id = ++ids;
      const date = new Date(Date.now() - minutesAgo * MINUTE_MS);
      const raw = mailTo(user, subject);
      const items = { 'X-GM-MSGID': `${id}`, 'X-GM-THRID': `${id}`, 'X-GM-LABELS': '("\\\\Inbox")' };
      account.arrive('INBOX', { raw, internalDate: imapDate(date), items });
      if (!isPushed) return;
      const item = gmailItem(id.toString(16), raw, { internalDate: `${date.getTime()}` });
      assert.equal((await service.push(script, batch([item]))).status, 200);
    }

    await arrive('long before', false, 300);
    await arrive('a little before', false, 100);
    await arrive('one', true, 60);
    await until(
      async () => (await stage.readSource(script.id)).lastProvenAliveAt !== null,
      20_000,
      () => 'the script is not heard of',
    );
    const added = await service.api('POST', `/v1/mailboxes/${script.mailboxId}/sources`, {
      kind: 'imap',
      standby: true,
      ...accountOf(account, user),
    });
    assert.equal(added.status, 201, JSON.stringify(added.body));
    const { id } = added.body;
    assert.equal(added.body.state, 'standby');
    const made = server.sessionsMade();
    await arrive('two', true, 50);
    await stage.waitForSubjects(['one', 'two']);

    // Asleep: it is looked at, and makes no connection.
    await stayAsleep(id);
    assert.equal(server.sessionsMade(), made);

    // The script falls silent, and what it has not brought comes.
    await arrive('three', false);
    await fallSilent(script.id, 47);
    await stage.waitForSubjects(['a little before', 'one', 'two', 'three'], 40_000);
    await stage.waitForState(id, 'idle');
    assert.deepEqual(account.fetched('INBOX'), [2, 5], 'what the script had stored is not fetched');
    await arrive('four', false);
    await stage.waitForSubjects(['four']);

    // It is heard of again: the standby says goodbye and sleeps.
    await ping(script);
    await stage.waitForState(id, 'standby');
    await until(
      () => server.sessions().length === 0,
      10_000,
      () => 'the standby is still connected',
    );
    assert.match(server.commands.at(-1) ?? '', /LOGOUT/);
    await arrive('five', true);
    await arrive('six', false);
    await stage.waitForSubjects(['five']);

    // And once more.
    await fallSilent(script.id, 47);
    await stage.waitForSubjects(['six'], 40_000);
    await stage.waitForState(id, 'idle');
    await arrive('seven', false);
    const all = ['a little before', 'one', 'two', 'three', 'four', 'five', 'six', 'seven'];
    await stage.waitForSubjects(all);
    assert.deepEqual(stage.subjects().toSorted(), all.toSorted());
    const [gaps] = await sql`SELECT count(*)::int AS count FROM gaps WHERE source_id = ${id.slice(4)}`;
    assert.equal(gaps?.count, 0);
  });
});

describe('a standby beside an imap source', () => {
  test('reads while the other cannot, what both have read comes once, and what only it reads comes late', async () => {
    await using dovecot = await startDovecot();
    await using proxy = await startFaultProxy(dovecot);
    const user = 'pair@example.com';
    await dovecot.createFolder(user, 'Projects');
    const first = await stage.addSource(user, serverOf({ ...proxy, password: dovecot.password }, user));
    assert.equal(first.status, 201, JSON.stringify(first.body));
    await stage.waitForState(first.body.id, 'idle');
    const { body: standby } = await service.api('POST', `/v1/mailboxes/${first.body.mailboxId}/sources`, {
      kind: 'imap',
      standby: true,
      ...serverOf(dovecot, user),
      folders: [{ role: 'inbox' }, { path: 'Projects' }],
    });
    await until(
      async () => (await stage.readSource(first.body.id)).lastProvenAliveAt !== null,
      20_000,
      () => 'the first is not proven alive',
    );
    await dovecot.deliver(user, mailTo(user, 'by the first'));
    await stage.waitForSubjects(['by the first']);
    await stayAsleep(standby.id);
    const made = dovecot.logins(user).length;

    const cutOff = async () => {
      proxy.refuse();
      proxy.set({ kind: 'cut', how: 'reset' }, 'open');
      await fallSilent(first.body.id, 4);
    };
    await cutOff();
    await dovecot.deliver(user, mailTo(user, 'by the standby'));
    await stage.waitForSubjects(['by the standby'], 40_000);
    await stage.waitForState(standby.id, 'idle');
    assert.ok(dovecot.logins(user).length > made);

    await proxy.accept();
    await sql`UPDATE sources SET due_at = now() WHERE id = ${first.body.id.slice(4)}`;
    await stage.waitForState(first.body.id, 'idle', 40_000);
    await stage.waitForState(standby.id, 'standby', 40_000);
    await dovecot.deliver(user, mailTo(user, 'by the first again'));
    await stage.waitForSubjects(['by the first', 'by the standby', 'by the first again']);

    // Long before what the first has read last.
    const { host, port, password } = dovecot;
    const client = new ImapFlow({
      host,
      port,
      secure: false,
      doSTARTTLS: false,
      auth: { user, pass: password },
      logger: false,
    });
    await client.connect();
    const raw = mailTo(user, 'by the standby alone');
    await client.append('Projects', raw, [], new Date(Date.now() - 180 * MINUTE_MS));
    await client.logout();
    await cutOff();
    await stage.waitForSubjects(['by the standby alone'], 40_000);
    const own = stage.subjects().filter((subject) => subject.startsWith('by the'));
    assert.equal(own.length, 4);
  });
});
