import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { endWait, mailsOf, makeStubsDue, openSql, stubsOf, untilRead } from './reading.ts';
import { accountOf, type ScriptedAccount, startScriptedAccount } from './scripted-account.ts';
import { mailTo, startStage, until } from './stage.ts';

/*
 * One mail that cannot be had never costs another one: it is passed, and a stub stands for it.
 */

const stage = await startStage({ random: () => 0 });
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

describe('a mail that is gone before it is fetched', () => {
  test('is kept as missing, and the others arrive', async () => {
    const address = 'gone@example.com';
    const { account, id } = await watch(address);
    await using _account = account;
    account.onFetchBytes = () => {
      account.folder('INBOX').remove(2);
      return undefined;
    };
    const folder = account.folder('INBOX');
    folder.add({ raw: mailTo(address, 'stays 1') });
    folder.add({ raw: mailTo(address, 'goes') });
    account.arrive('INBOX', { raw: mailTo(address, 'stays 3') });
    await stage.waitForSubjects(['stays 1', 'stays 3']);
    await untilRead(stage, id, 3);
    const [stub, ...others] = await stubsOf(stage, id);
    assert.equal(others.length, 0);
    assert.equal(stub.providerId, 'INBOX;UIDVALIDITY=1/;UID=2');
    assert.equal(stub.status, 'missing');
    assert.equal((await stage.readSource(id)).counts.missing, 1);
  });
});

describe('a mail that the server refuses to give', () => {
  test('waits as a stub while the others arrive, and is fetched when it is given', async () => {
    const address = 'refused@example.com';
    const { account, id } = await watch(address);
    await using _account = account;
    account.onFetchBytes = (uids) => (uids.includes(2) ? '$tag NO [SERVERBUG] cannot read it' : undefined);
    const folder = account.folder('INBOX');
    folder.add({ raw: mailTo(address, 'given 1') });
    folder.add({ raw: mailTo(address, 'withheld') });
    account.arrive('INBOX', { raw: mailTo(address, 'given 3') });
    await stage.waitForSubjects(['given 1', 'given 3']);
    await untilRead(stage, id, 3);
    const [stub, ...others] = await stubsOf(stage, id);
    assert.equal(others.length, 0);
    assert.equal(stub.status, 'pending');
    assert.match(stub.error, /cannot read it/);
    assert.equal((await stage.readSource(id)).lag, 1);

    await makeStubsDue(stage, sql, id);
    await until(
      async () => (await stubsOf(stage, id))[0]?.attempts === 1,
      20_000,
      () => 'the second try is not counted',
    );
    assert.ok(!stage.subjects().includes('withheld'));

    account.onFetchBytes = () => undefined;
    await makeStubsDue(stage, sql, id);
    await stage.waitForSubjects(['given 1', 'withheld', 'given 3']);
    await until(
      async () => (await stubsOf(stage, id)).length === 0,
      20_000,
      () => 'the stub is still there',
    );
    assert.equal((await stage.readSource(id)).lag, 0);
  });

  test('that is listed and left out of the answer is no missing mail', async () => {
    const address = 'left-out@example.com';
    const { account, id } = await watch(address);
    await using _account = account;
    account.onFetchBytes = (uids) => (uids.includes(1) ? '$tag OK fetched' : undefined);
    account.arrive('INBOX', { raw: mailTo(address, 'left out') });
    await untilRead(stage, id, 1);
    assert.equal((await stubsOf(stage, id))[0]?.status, 'pending');
    account.onFetchBytes = () => undefined;
    await makeStubsDue(stage, sql, id);
    await stage.waitForSubjects(['left out']);
  });
});

describe('a mail that ends the connection each time it is fetched', { concurrency: true }, () => {
  test('is passed after some tries, and those before and behind it arrive', async () => {
    const address = 'deadly@example.com';
    const { account, id } = await watch(address);
    await using _account = account;
    account.onFetchBytes = (uids, session) => {
      if (uids.includes(2)) session.reset();
      return uids.includes(2) ? '' : undefined;
    };
    const folder = account.folder('INBOX');
    folder.add({ raw: mailTo(address, 'before it') });
    folder.add({ raw: mailTo(address, 'deadly') });
    account.arrive('INBOX', { raw: mailTo(address, 'behind it') });
    await until(
      async () => {
        // The waits between the tries are not what this is about.
        await endWait(sql, id);
        return (await stubsOf(stage, id)).length > 0;
      },
      60_000,
      () => `after ${account.server.sessionsMade()} sessions it has not been passed`,
    );
    await stage.waitForSubjects(['before it', 'behind it']);
    const [stub] = await stubsOf(stage, id);
    assert.equal(stub.providerId, 'INBOX;UIDVALIDITY=1/;UID=2');
    assert.equal(stub.status, 'pending');
    assert.ok(account.server.sessionsMade() < 12, `${account.server.sessionsMade()} sessions`);

    account.onFetchBytes = () => undefined;
    await until(
      async () => {
        await endWait(sql, id);
        await makeStubsDue(stage, sql, id);
        return stage.subjects().includes('deadly');
      },
      30_000,
      () => 'it does not arrive when it may',
    );
  });

  test('or is listed, is passed after some tries too', async () => {
    const address = 'deadly-listed@example.com';
    const { account, id } = await watch(address);
    await using _account = account;
    resetWhenListed(account, 2);
    const folder = account.folder('INBOX');
    folder.add({ raw: mailTo(address, 'listed before it') });
    folder.add({ raw: mailTo(address, 'deadly to list') });
    account.arrive('INBOX', { raw: mailTo(address, 'listed behind it') });
    await until(
      async () => {
        await endWait(sql, id);
        return stage.subjects().includes('listed behind it');
      },
      60_000,
      () => `after ${account.server.sessionsMade()} sessions it has not been passed`,
    );
    await stage.waitForSubjects(['listed before it', 'listed behind it']);
    const [stub, ...others] = await stubsOf(stage, id);
    assert.equal(others.length, 0);
    assert.equal(stub.providerId, 'INBOX;UIDVALIDITY=1/;UID=2');
    assert.ok(account.server.sessionsMade() < 12, `${account.server.sessionsMade()} sessions`);
  });

  for (const [when, isListed] of [
    ['', false],
    [', not as soon as it is listed either', true],
  ] as const)
    test(`among the mails of a gap holds up none of the others${when}`, async () => {
      const address = `deadly-gap-${isListed}@example.com`;
      const account = await startScriptedAccount({ folders: { INBOX: '' } });
      await using _account = account;
      const folder = account.folder('INBOX');
      const subjects = Array.from({ length: 100 }, (_, at) => `of the gap ${isListed} ${at + 1}`);
      for (const subject of subjects) folder.add({ raw: mailTo(address, subject) });
      if (isListed) resetWhenListed(account, 30);
      account.onFetchBytes = (uids, session) => {
        if (uids.includes(30)) session.reset();
        return uids.includes(30) ? '' : undefined;
      };
      const since = new Date(Date.now() - 3_600_000).toISOString();
      const { body } = await stage.addSource(address, { ...accountOf(account, address), since });
      const others = subjects.filter((subject) => subject !== `of the gap ${isListed} 30`);
      await until(
        async () => {
          await endWait(sql, body.id);
          return others.every((subject) => stage.subjects().includes(subject));
        },
        60_000,
        () => `${stage.subjects().length} came in ${account.server.sessionsMade()} sessions`,
      );
      await stage.waitForSubjects(others);
      assert.ok(account.server.sessionsMade() < 12, `${account.server.sessionsMade()} sessions`);
      const [stub, ...rest] = (await stubsOf(stage, body.id)).filter(({ status }) => status === 'pending');
      assert.equal(rest.length, 0);
      assert.equal(stub.providerId, 'INBOX;UIDVALIDITY=1/;UID=30');
      // The gap waits for it, and says so.
      assert.equal((await stage.readSource(body.id)).counts.openGaps, 1);
    });
});

test('nothing of this came twice', () => {
  const ids = mailsOf(stage).map(({ id }) => id);
  assert.equal(new Set(ids).size, ids.length);
});

/** Whatever is asked of this mail ends the connection. */
function resetWhenListed(account: ScriptedAccount, uid: number): void {
  const usual = account.server.handlers['UID FETCH'] ?? assert.fail('no FETCH');
  account.server.handlers['UID FETCH'] = (command, session) => {
    const [set = ''] = command.args.split(' ');
    const isMet = set.split(',').some((range) => {
      const [from, to = from] = range.split(':');
      return Number(from) <= uid && (to === '*' || Number(to) >= uid);
    });
    if (isMet) session.reset();
    return isMet ? '' : usual(command, session);
  };
}
