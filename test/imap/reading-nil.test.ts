import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import pino from 'pino';
import { accountOf, startScriptedAccount } from './scripted-account.ts';
import { mailTo, startStage, until } from './stage.ts';

const complaints: string[] = [];
const log = pino({ level: 'error' }, { write: (line: string) => void complaints.push(line) });
const stage = await startStage({ log });
after(() => stage[Symbol.asyncDispose]());

for (const [how, isGone] of [
  ['is gone then', true],
  ['is there all the same', false],
] as const)
  test(`a mail that the server answers NIL for and that ${how} is kept as such, and the others are read`, async () => {
    await using account = await startScriptedAccount({ folders: { INBOX: '' } });
    const user = `nil-${isGone}@example.com`;
    const made = await stage.addSource(user, accountOf(account, user));
    assert.equal(made.status, 201, JSON.stringify(made.body));
    await stage.waitForState(made.body.id, 'idle');
    const sessions = account.server.sessionsMade();
    account.onFetchBytes = (uids, session) => {
      if (!uids.includes(2)) return undefined;
      const { mailbox } = account.folder('INBOX');
      for (const [at, { uid, raw }] of mailbox.mails.entries()) {
        if (!uids.includes(uid)) continue;
        if (uid === 2) session.send(`* ${at + 1} FETCH (UID 2 BODY[] NIL)`);
        else
          session.send(
            Buffer.concat([
              Buffer.from(`* ${at + 1} FETCH (UID ${uid} BODY[] {${raw.length}}\r\n`),
              raw,
              Buffer.from(')'),
            ]),
          );
      }
      if (isGone) account.folder('INBOX').remove(2);
      return '$tag OK fetched';
    };
    const subjects = [1, 2, 3].map((n) => `${how} ${n}`);
    const folder = account.folder('INBOX');
    for (const subject of subjects.slice(0, 2)) folder.add({ raw: mailTo(user, subject) });
    account.arrive('INBOX', { raw: mailTo(user, subjects[2]) });
    await stage.waitForSubjects([`${how} 1`, `${how} 3`]);
    await until(
      async () => (await stage.readSource(made.body.id)).cursor.endsWith('UID=3'),
      20_000,
      () => 'the folder is not read to its end',
    );
    const { counts, lag } = await stage.readSource(made.body.id);
    assert.deepEqual([counts.missing, lag], isGone ? [1, 0] : [0, 1]);
    assert.equal(account.server.sessionsMade(), sessions, 'in one session');
    assert.deepEqual(complaints, []);
  });
