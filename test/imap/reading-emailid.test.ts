import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { stop, stubsOf, untilRead, untilRecovered } from './reading.ts';
import {
  type AccountMail,
  accountOf,
  type ScriptedAccount,
  startScriptedAccount,
} from './scripted-account.ts';
import { mailTo, startStage } from './stage.ts';

/*
 * A server with OBJECTID (RFC 8474) says what is the same mail: that is known before it is fetched.
 */

const CAPABILITY = 'IMAP4rev1 ID ENABLE IDLE UIDPLUS MOVE SPECIAL-USE OBJECTID AUTH=PLAIN SASL-IR';

const stage = await startStage({ imapProbeMs: 400, random: () => 0 });
after(() => stage[Symbol.asyncDispose]());

const mail = (address: string, subject: string, id: string): AccountMail => ({
  raw: mailTo(address, subject),
  items: { EMAILID: `(${id})` },
});

async function watch(address: string): Promise<{ account: ScriptedAccount; id: string }> {
  const account = await startScriptedAccount({
    folders: { INBOX: '', Junk: '\\Junk' },
    capability: CAPABILITY,
  });
  const { status, body } = await stage.addSource(address, accountOf(account, address));
  assert.equal(status, 201, JSON.stringify(body));
  await stage.waitForState(body.id, 'idle');
  return { account, id: body.id };
}

test('a moved mail is not fetched twice', async () => {
  const address = 'moved@example.com';
  const { account, id } = await watch(address);
  await using _account = account;
  const moved = mail(address, 'moved', 'M1');
  const uid = account.arrive('INBOX', moved);
  await stage.waitForSubjects(['moved']);
  await untilRead(stage, id, uid);
  account.folder('INBOX').remove(uid);
  account.arrive('Junk', moved);
  account.arrive('Junk', mail(address, 'another', 'M2'));
  await stage.waitForSubjects(['moved', 'another']);
  await untilRead(stage, id, 2, 'Junk');
  assert.deepEqual([account.fetched('INBOX'), account.fetched('Junk')], [[1], [2]]);
});

test('mails with one Message-ID and one text are two, if the server says so', async () => {
  const address = 'twins@example.com';
  const { account, id } = await watch(address);
  await using _account = account;
  const raw = mailTo(address, 'twins');
  account.arrive('INBOX', { raw, items: { EMAILID: '(T1)' } });
  account.arrive('INBOX', { raw, items: { EMAILID: '(T2)' } });
  await untilRead(stage, id, 2);
  const { body } = await stage.service.api('GET', '/v1/messages?limit=500');
  const twins = body.data.filter((message: { subject: string }) => message.subject === 'twins');
  assert.equal(twins.length, 2);
});

test('after another UIDVALIDITY only what is new is fetched', async () => {
  const address = 'flipped@example.com';
  const { account, id } = await watch(address);
  await using _account = account;
  const subjects = Array.from({ length: 20 }, (_, at) => `flipped ${at}`);
  for (const [at, subject] of subjects.entries()) account.arrive('INBOX', mail(address, subject, `F${at}`));
  await stage.waitForSubjects(subjects);
  await untilRead(stage, id, 20);
  const before = account.fetched('INBOX').length;
  await stop(stage, id);
  const { mailbox } = account.folder('INBOX');
  mailbox.uidValidity++;
  for (const [at, one] of mailbox.mails.entries()) one.uid = at + 101;
  mailbox.uidNext = 121;
  account.folder('INBOX').add(mail(address, 'new after the flip', 'F20'));
  await stage.service.api('POST', `/v1/sources/${id}/start`);
  await stage.waitForSubjects([...subjects, 'new after the flip'], 30_000);
  const [gap] = await untilRecovered(stage, id, 1);
  assert.equal(gap.reason, 'uidvalidity_changed');
  assert.deepEqual([gap.listed, gap.recovered], [21, 1]);
  assert.deepEqual(account.fetched('INBOX').slice(before), [121]);
  assert.deepEqual(await stubsOf(stage, id), []);
});
