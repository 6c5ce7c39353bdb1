import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { batch, gmailItem, startTestService } from '../support/service.ts';
import { look, mailsOf, untilRead } from './reading.ts';
import {
  type AccountMail,
  accountOf,
  type ScriptedAccount,
  startScriptedAccount,
} from './scripted-account.ts';
import { mailTo, startStage } from './stage.ts';

/*
 * Gmail over IMAP, as https://developers.google.com/workspace/gmail/imap/imap-extensions describes it: a mail has one id on
 * every path, and its labels.
 */

const stage = await startStage({ imapProbeMs: 400 });
after(() => stage[Symbol.asyncDispose]());

const CAPABILITY =
  'IMAP4rev1 UNSELECT IDLE NAMESPACE QUOTA ID XLIST CHILDREN X-GM-EXT-1 UIDPLUS ENABLE MOVE CONDSTORE ESEARCH UTF8=ACCEPT LIST-EXTENDED LIST-STATUS SPECIAL-USE OBJECTID AUTH=PLAIN SASL-IR';

/** A Gmail of a German: `[Gmail]/...` is localized. */
const FOLDERS = {
  INBOX: '\\HasNoChildren',
  '[Gmail]': '\\HasChildren \\Noselect',
  '[Gmail]/Alle Nachrichten': '\\All \\HasNoChildren',
  '[Gmail]/Spam': '\\Junk \\HasNoChildren',
  '[Gmail]/Papierkorb': '\\Trash \\HasNoChildren',
  '[Gmail]/Entw&APw-rfe': '\\Drafts \\HasNoChildren',
};
const ALL = '[Gmail]/Alle Nachrichten';
const SPAM = '[Gmail]/Spam';

let ids = 1_700_000_000_000_000_000n;

function gmailMail(subject: string, labels: string, id = ++ids, body?: string): AccountMail {
  const items = { 'X-GM-MSGID': String(id), 'X-GM-THRID': String(id - 1n), 'X-GM-LABELS': `(${labels})` };
  return { raw: mailTo('me@gmail.com', subject, body), items };
}

const hex = (id: bigint) => id.toString(16);
const published = (subject: string) => mailsOf(stage).find((mail) => mail.subject === subject);

let accounts = 0;

async function watch(): Promise<{ account: ScriptedAccount; id: string; mailboxId: string }> {
  const account = await startScriptedAccount({ folders: FOLDERS, capability: CAPABILITY });
  const address = `gmail-${++accounts}@gmail.com`;
  const { status, body } = await stage.addSource(address, {
    ...accountOf(account, address),
    provider: 'gmail',
  });
  assert.equal(status, 201, JSON.stringify(body));
  await stage.waitForState(body.id, 'idle');
  return { account, id: body.id, mailboxId: body.mailboxId };
}

describe('a mail of Gmail over IMAP', () => {
  test('has the id, the thread and the labels that the API tells', async () => {
    const { account, id } = await watch();
    await using _account = account;
    account.arrive(ALL, gmailMail('labelled', '"\\\\Inbox" "\\\\Important" Receipts "Mit Leerzeichen"'));
    await stage.waitForSubjects(['labelled']);
    const mail = published('labelled');
    assert.equal(mail.providerId, hex(ids));
    assert.equal(mail.threadId, hex(ids - 1n));
    assert.deepEqual(mail.labels.toSorted(), ['IMPORTANT', 'INBOX', 'Mit Leerzeichen', 'Receipts']);
    assert.equal(mail.placement, 'inbox');
    assert.deepEqual(mail.source, { id, kind: 'imap' });
  });

  test('is placed in the tab that Gmail shows it in, which no label tells', async () => {
    const { account } = await watch();
    await using _account = account;
    for (const [category, uid] of [
      ['promotions', 1],
      ['social', 2],
      ['updates', 3],
      ['forums', 4],
    ] as const)
      account.gmailSearches.set(`category:${category}`, new Set([uid]));
    const subjects = ['an offer', 'a like', 'a receipt', 'a digest', 'a letter'];
    for (const subject of subjects) account.arrive(ALL, gmailMail(subject, '"\\\\Inbox"'));
    await stage.waitForSubjects(subjects);
    assert.deepEqual(
      subjects.map((subject) => published(subject)?.placement),
      ['promotions', 'social', 'updates', 'forums', 'inbox'],
    );
    assert.ok(published('an offer')?.labels.includes('CATEGORY_PROMOTIONS'));
  });

  test('comes from All Mail, Spam and Trash alike, and from no other folder', async () => {
    const { account } = await watch();
    await using _account = account;
    account.arrive(ALL, gmailMail('archived', ''));
    account.arrive(SPAM, gmailMail('spam', ''));
    account.arrive('[Gmail]/Papierkorb', gmailMail('thrown away', ''));
    await stage.waitForSubjects(['archived', 'spam', 'thrown away']);
    assert.equal(published('spam')?.placement, 'spam');
    assert.equal(published('thrown away')?.placement, 'trash');
    assert.equal(published('archived')?.placement, 'archive');
    assert.equal(account.server.commands.filter((command) => /EXAMINE.*INBOX/.test(command)).length, 0);
  });

  test('that is a draft or was sent is left out, but what one sends to oneself is not', async () => {
    const { account, id } = await watch();
    await using _account = account;
    account.arrive(ALL, gmailMail('a draft', '"\\\\Draft"'));
    account.arrive(ALL, gmailMail('sent', '"\\\\Sent"'));
    account.arrive(ALL, gmailMail('to myself', '"\\\\Sent" "\\\\Inbox"'));
    await stage.waitForSubjects(['to myself']);
    await untilRead(stage, id, 3, ALL);
    assert.equal(published('a draft'), undefined);
    assert.equal(published('sent'), undefined);
    const { counts, lag } = await stage.readSource(id);
    assert.deepEqual([counts.failed, counts.missing, lag], [0, 0, 0]);
  });

  test('that is moved to spam and back is neither fetched nor told again', async () => {
    const { account, id } = await watch();
    await using _account = account;
    const moved = gmailMail('taken for spam', '"\\\\Inbox"');
    const uid = account.arrive(ALL, moved);
    await stage.waitForSubjects(['taken for spam']);
    await untilRead(stage, id, uid, ALL);
    account.folder(ALL).remove(uid);
    const inSpam = account.arrive(SPAM, moved);
    await untilRead(stage, id, inSpam, SPAM);
    account.folder(SPAM).remove(inSpam);
    const back = account.arrive(ALL, moved);
    await look(stage, id);
    await untilRead(stage, id, back, ALL);
    assert.deepEqual([account.fetched(ALL), account.fetched(SPAM)], [[uid], []]);
    await stage.waitForSubjects(['taken for spam']);
  });
});

describe('one mail of Gmail by two paths is one', () => {
  const push = async (
    service: typeof stage.service,
    source: Parameters<typeof service.push>[0],
    item: unknown,
  ) => JSON.parse(await (await service.push(source, batch([item]))).text()).results[0];

  test('by IMAP first, pushed by the script then', async () => {
    const { account, mailboxId } = await watch();
    await using _account = account;
    const script = await stage.service.api('POST', `/v1/mailboxes/${mailboxId}/sources`, {
      kind: 'apps-script',
    });
    const mail = gmailMail('IMAP, then the script', '"\\\\Inbox"');
    account.arrive(ALL, mail);
    await stage.waitForSubjects(['IMAP, then the script']);
    // Other bytes: only the id tells that it is the same one.
    const item = gmailItem(hex(ids), `X-Received: by the script\r\n${String(mail.raw)}`);
    assert.equal((await push(stage.service, script.body, item)).status, 'duplicate');
  });

  test('pushed by the script first: over IMAP its bytes are not even fetched', async () => {
    const { account, id, mailboxId } = await watch();
    await using _account = account;
    const script = await stage.service.api('POST', `/v1/mailboxes/${mailboxId}/sources`, {
      kind: 'apps-script',
    });
    const mail = gmailMail('the script, then IMAP', '"\\\\Inbox"');
    const item = gmailItem(hex(ids), String(mail.raw));
    assert.equal((await push(stage.service, script.body, item)).status, 'accepted');
    const uid = account.arrive(ALL, mail);
    const next = account.arrive(ALL, gmailMail('the next over IMAP', '"\\\\Inbox"'));
    await stage.waitForSubjects(['the script, then IMAP', 'the next over IMAP']);
    await untilRead(stage, id, next, ALL);
    assert.deepEqual(account.fetched(ALL), [next]);
    assert.ok(uid < next);
  });

  test('with its headers alone over IMAP, and whole by the script: it is completed, with no second event', async (t) => {
    const { account, id, mailboxId } = await watch();
    await using _account = account;
    const body = `${'large '.repeat(160)}\r\n`.repeat(1200);
    const mail = gmailMail('completed', '"\\\\Inbox"', ++ids, body);
    account.arrive(ALL, mail);
    await stage.waitForSubjects(['completed']);
    const told = published('completed');
    assert.equal(told.truncated, true);
    assert.equal(told.providerId, hex(ids));

    const { databaseUrl } = stage.service;
    const roomy = await startTestService({ databaseUrl, bodyLimitBytes: 8 * 1024 * 1024, dispatch: false });
    t.after(() => roomy.stop());
    const script = await roomy.api('POST', `/v1/mailboxes/${mailboxId}/sources`, { kind: 'apps-script' });
    const result = await push(roomy, script.body, gmailItem(hex(ids), String(mail.raw)));
    assert.deepEqual(result, { id: hex(ids), status: 'duplicate', messageId: told.id });
    const whole = await stage.service.api('GET', `/v1/messages/${told.id}`);
    assert.equal(whole.body.truncated, false);
    assert.ok(whole.body.text.length > 1_000_000);
    await untilRead(stage, id, 1, ALL);
    await stage.waitForSubjects(['completed']);
  });
});

describe('a mail that is known, and moved to where its listing says nothing of it', () => {
  const UNREADABLE: [string, (row: string) => string | undefined][] = [
    ['as its row cannot be read', (row) => row.replace(/INTERNALDATE "[^"]*"/, 'INTERNALDATE "')],
    ['as its labels cannot be read', (row) => row.replace(/X-GM-LABELS \([^)]*\)/, 'X-GM-LABELS ("a"b")')],
    ['as it is refused', () => undefined],
  ];
  for (const [at, [name, spoil]] of UNREADABLE.entries())
    test(`${name}, comes once`, async () => {
      const { account, id } = await watch();
      await using _account = account;
      const known = gmailMail(`moved and undescribed ${at}`, '"\\\\Inbox"');
      account.arrive(ALL, known);
      await stage.waitForSubjects([`moved and undescribed ${at}`]);
      const usual = account.server.handlers['UID FETCH'] ?? assert.fail('no FETCH');
      account.server.handlers['UID FETCH'] = async (command, session) => {
        const answer = await usual(command, session);
        const isDescription = /RFC822\.SIZE/.test(command.args);
        if (account.selected(session) !== SPAM || !isDescription || !Array.isArray(answer)) return answer;
        const rows = answer.map((row) => (/UID 1 /.test(String(row)) ? spoil(String(row)) : row));
        const told = rows.filter((row) => row !== undefined);
        return told.length < rows.length ? '$tag NO not this one' : told;
      };
      account.folder(SPAM).add(known);
      account.folder(SPAM).add(gmailMail(`beside it ${at}`, ''));
      await look(stage, id);
      await untilRead(stage, id, 2, SPAM);
      account.server.handlers['UID FETCH'] = usual;
      account.arrive(ALL, gmailMail(`after the move ${at}`, '"\\\\Inbox"'));
      await stage.waitForSubjects(
        ['moved and undescribed', 'beside it', 'after the move'].map((one) => `${one} ${at}`),
      );
    });
});
