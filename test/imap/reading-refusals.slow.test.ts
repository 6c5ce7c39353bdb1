import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { endWait, mailsOf, makeStubsDue, openSql, placeIn, stubsOf, untilRead } from './reading.ts';
import { accountOf, type ScriptedAccount, startScriptedAccount } from './scripted-account.ts';
import { mailTo, startStage, until } from './stage.ts';

/*
 * A server that refuses a FETCH because of one mail, on a connection that stays: the other mails arrive.
 */

const stage = await startStage({ random: () => 0, imapProbeMs: 400 });
const sql = openSql(stage);
after(async () => {
  await sql.end();
  await stage[Symbol.asyncDispose]();
});

async function watch(address: string): Promise<{ account: ScriptedAccount; id: string }> {
  const account = await startScriptedAccount({ folders: { INBOX: '' } });
  const { status, body } = await stage.addSource(address, accountOf(account, address));
  assert.equal(status, 201, JSON.stringify(body));
  await stage.waitForState(body.id, 'idle');
  return { account, id: body.id };
}

/** Whatever FETCH names this mail is refused. */
function refuseFetch(account: ScriptedAccount, uid: number, answer: string, when = /./): void {
  const usual = account.server.handlers['UID FETCH'] ?? assert.fail('no FETCH');
  account.server.handlers['UID FETCH'] = (command, session) =>
    names(command.args, uid) && when.test(command.args) ? answer : usual(command, session);
}

function names(args: string, uid: number): boolean {
  const [set = ''] = args.split(' ');
  return set.split(',').some((range) => {
    const [from, to = from] = range.split(':');
    return Number(from) <= uid && (to === '*' || Number(to) >= uid);
  });
}

/** Ends each wait as the passing of time would, until it holds; answers how long they were to be, in ms. */
async function endWaits(id: string, isSo: () => Promise<boolean>, withStubs = false): Promise<number[]> {
  const waits: number[] = [];
  const rowId = id.slice('src_'.length);
  await until(
    async () => {
      const rows = await sql<{ ms: number }[]>`
        WITH before AS (SELECT id, due_at FROM sources WHERE id = ${rowId} FOR UPDATE)
        UPDATE sources SET due_at = now() FROM before
        WHERE sources.id = before.id AND before.due_at > now() AND lease_owner IS NULL
        RETURNING extract(epoch FROM before.due_at - now())::float8 * 1000 AS ms`;
      waits.push(...rows.map(({ ms }) => ms));
      // Written by itself, behind the end of a session.
      await sql`UPDATE sources SET slow_until = NULL WHERE id = ${rowId} AND slow_until IS NOT NULL`;
      if (withStubs) await sql`UPDATE stubs SET due_at = now() WHERE source_id = ${rowId}`;
      return isSo();
    },
    60_000,
    () => `after the waits ${waits} it is not so`,
  );
  return waits;
}

describe('a mail whose listing is refused', { concurrency: true }, () => {
  test('is passed as a stub, and those before and behind it arrive in the same session', async () => {
    const address = 'unlisted@example.com';
    const { account, id } = await watch(address);
    await using _account = account;
    const usual = account.server.handlers['UID FETCH'];
    refuseFetch(account, 2, '$tag NO Some messages could not be FETCHed');
    const folder = account.folder('INBOX');
    for (const subject of ['unlisted 1', 'unlisted 2']) folder.add({ raw: mailTo(address, subject) });
    account.arrive('INBOX', { raw: mailTo(address, 'unlisted 3') });
    await stage.waitForSubjects(['unlisted 1', 'unlisted 3']);
    await untilRead(stage, id, 3);
    const [stub, ...others] = await stubsOf(stage, id);
    assert.equal(others.length, 0);
    assert.deepEqual([stub.providerId, stub.status], ['INBOX;UIDVALIDITY=1/;UID=2', 'pending']);
    assert.equal(account.server.sessionsMade(), 2, 'one to verify, and one that goes on');

    if (usual) account.server.handlers['UID FETCH'] = usual;
    await makeStubsDue(stage, sql, id);
    await stage.waitForSubjects(['unlisted 2']);
  });

  test('although its bytes can be had, arrives', async () => {
    const address = 'sizeless@example.com';
    const { account, id } = await watch(address);
    await using _account = account;
    refuseFetch(account, 2, '$tag NO [SERVERBUG] its size is not known', /RFC822\.SIZE/);
    const subjects = [1, 2, 3].map((count) => `sizeless ${count}`);
    const folder = account.folder('INBOX');
    for (const subject of subjects.slice(0, 2)) folder.add({ raw: mailTo(address, subject) });
    account.arrive('INBOX', { raw: mailTo(address, subjects[2]) });
    await stage.waitForSubjects(subjects);
    await untilRead(stage, id, 3);
    assert.deepEqual(await stubsOf(stage, id), []);
  });

  test('in a gap, keeps none of the others', async () => {
    const address = 'gap-unlisted@example.com';
    const account = await startScriptedAccount({ folders: { INBOX: '' } });
    await using _account = account;
    const subjects = [1, 2, 3].map((count) => `gap unlisted ${count}`);
    for (const subject of subjects) account.folder('INBOX').add({ raw: mailTo(address, subject) });
    refuseFetch(account, 2, '$tag NO Some messages could not be FETCHed');
    const since = new Date(Date.now() - 3_600_000).toISOString();
    const { body } = await stage.addSource(address, { ...accountOf(account, address), since });
    await stage.waitForSubjects(['gap unlisted 1', 'gap unlisted 3']);
    const pending = async () => (await stubsOf(stage, body.id)).filter(({ status }) => status === 'pending');
    await until(
      async () => (await pending()).length === 1,
      20_000,
      () => 'another number of stubs waits',
    );
    assert.equal(account.server.sessionsMade(), 2, 'one to verify, and one that goes on');
  });
});

describe('a mail that the server says it is too busy for, whenever it is asked', {
  concurrency: true,
}, () => {
  for (const [code, when] of [
    ['UNAVAILABLE', /BODY/],
    ['OVERQUOTA', /BODY/],
    ['INUSE', /./],
  ] as const)
    test(`as [${code}], is passed after some tries, each waited for; those before and behind it arrive`, async () => {
      const address = `${code.toLowerCase()}@example.com`;
      const { account, id } = await watch(address);
      await using _account = account;
      const usual = account.server.handlers['UID FETCH'];
      refuseFetch(account, 2, `$tag NO [${code}] Server error - please try again later`, when);
      const subjects = [1, 2, 3, 4].map((count) => `${code} ${count}`);
      const folder = account.folder('INBOX');
      for (const subject of subjects.slice(0, 3)) folder.add({ raw: mailTo(address, subject) });
      account.arrive('INBOX', { raw: mailTo(address, subjects[3]) });
      const waits = await endWaits(id, async () => (await stubsOf(stage, id)).length > 0);
      await stage.waitForSubjects(subjects.filter((subject) => !subject.endsWith('2')));
      const [stub, ...others] = await stubsOf(stage, id);
      assert.equal(others.length, 0, 'the mails that are well are no stubs');
      assert.equal(stub.providerId, 'INBOX;UIDVALIDITY=1/;UID=2');
      assert.ok(waits.length >= 4 && waits.length < 12, `${waits}`);
      assert.ok(
        waits.every((waitMs) => waitMs > 60_000),
        `${waits}`,
      );

      // As a stub it holds up no other stub either, and new mail comes.
      folder.add({ raw: mailTo(address, `${code} 5`) });
      account.arrive('INBOX', { raw: mailTo(address, `${code} 6`) });
      await stage.waitForSubjects([`${code} 5`, `${code} 6`]);
      await makeStubsDue(stage, sql, id);
      await endWaits(id, async () => (await stubsOf(stage, id))[0]?.attempts > 1, true);
      if (usual) account.server.handlers['UID FETCH'] = usual;
      await endWaits(id, async () => stage.subjects().includes(`${code} 2`), true);
    });
});

describe('a UID that the server has not come to', { concurrency: true }, () => {
  test('is not passed, as it would pass all that comes, when FETCH of it is refused', async () => {
    const address = 'made-up@example.com';
    const { account, id } = await watch(address);
    await using _account = account;
    const { handlers } = account.server;
    const usual = { ...handlers };
    handlers['UID SEARCH'] = () => ['* SEARCH 1 700 701', '$tag OK searched'];
    refuseFetch(account, 700, '$tag NO not now');
    account.arrive('INBOX', { raw: mailTo(address, 'beside the made up') });
    await until(
      async () => /which it has not come to/.test((await stage.readSource(id)).reason ?? ''),
      20_000,
      () => 'it is not told',
    );
    assert.ok((await placeIn(stage, id)).uid <= 1);
    Object.assign(handlers, usual);
    await endWaits(id, async () => stage.subjects().includes('beside the made up'));
  });

  test('nor after the tries that a mail is given', async () => {
    const address = 'made-up-later@example.com';
    const { account, id } = await watch(address);
    await using _account = account;
    const { handlers } = account.server;
    const usual = { ...handlers };
    handlers['UID SEARCH'] = () => ['* SEARCH 700', '$tag OK searched'];
    handlers['UID FETCH'] = (_command, session) => {
      session.reset();
      return '';
    };
    account.arrive('INBOX', { raw: mailTo(address, 'behind the made up') });
    await until(
      async () => {
        await endWait(sql, id);
        return /which it has not come to/.test((await stage.readSource(id)).reason ?? '');
      },
      60_000,
      () => 'it is not told',
    );
    assert.equal((await placeIn(stage, id)).uid, 0);
    Object.assign(handlers, usual);
    await endWaits(id, async () => (await stubsOf(stage, id)).length === 1);
    // What stood behind it is passed as its place in the folder said; it waits for no longer than a minute.
    await makeStubsDue(stage, sql, id);
    await stage.waitForSubjects(['behind the made up']);
  });
});

test('a mail whose rows can never be read is no missing one', async () => {
  const address = 'unreadable@example.com';
  const { account, id } = await watch(address);
  await using _account = account;
  const usual = account.server.handlers['UID FETCH'] ?? assert.fail('no FETCH');
  account.server.handlers['UID FETCH'] = async (command, session) => {
    const answer = await usual(command, session);
    return Array.isArray(answer)
      ? answer.map((row) => (/UID 2 /.test(String(row)) ? '* 2 FETCH (UID 2 FLAGS (' : row))
      : answer;
  };
  const folder = account.folder('INBOX');
  for (const count of [1, 2]) folder.add({ raw: mailTo(address, `unreadable ${count}`) });
  account.arrive('INBOX', { raw: mailTo(address, 'unreadable 3') });
  await stage.waitForSubjects(['unreadable 1', 'unreadable 3']);
  await untilRead(stage, id, 3);
  assert.deepEqual(
    (await stubsOf(stage, id)).map(({ status }) => status),
    ['pending'],
  );
});

/** No listing has it; its bytes can be had. */
function omit(account: ScriptedAccount, uid: number): void {
  const usual = account.server.handlers['UID FETCH'] ?? assert.fail('no FETCH');
  account.server.handlers['UID FETCH'] = async (command, session) => {
    const answer = await usual(command, session);
    return Array.isArray(answer) && /RFC822\.SIZE/.test(command.args)
      ? answer.filter((row) => !new RegExp(`UID ${uid} `).test(String(row)))
      : answer;
  };
}

describe('a mail that is left out of each listing, though it is there', { concurrency: true }, () => {
  test('arrives', async () => {
    const address = 'omitted@example.com';
    const { account, id } = await watch(address);
    await using _account = account;
    omit(account, 2);
    const folder = account.folder('INBOX');
    const subjects = [1, 2, 3].map((count) => `omitted ${count}`);
    for (const subject of subjects.slice(0, 2)) folder.add({ raw: mailTo(address, subject) });
    account.arrive('INBOX', { raw: mailTo(address, subjects[2]) });
    await stage.waitForSubjects(subjects);
    await untilRead(stage, id, 3);
  });

  test('in a gap, arrives too', async () => {
    const address = 'omitted-before@example.com';
    await using account = await startScriptedAccount({ folders: { INBOX: '' } });
    omit(account, 2);
    const subjects = [1, 2, 3].map((count) => `omitted before ${count}`);
    for (const subject of subjects) account.folder('INBOX').add({ raw: mailTo(address, subject) });
    const since = new Date(Date.now() - 3_600_000).toISOString();
    const { status, body } = await stage.addSource(address, { ...accountOf(account, address), since });
    assert.equal(status, 201, JSON.stringify(body));
    await stage.waitForSubjects(subjects);
    assert.deepEqual(await stubsOf(stage, body.id), []);
  });
});

test('nothing of this came twice', () => {
  const ids = mailsOf(stage).map(({ id }) => id);
  assert.equal(new Set(ids).size, ids.length);
});
