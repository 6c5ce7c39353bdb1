import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { startDovecot } from '../support/imap/dovecot.ts';
import { addSource as addPushSource } from '../support/service.ts';
import { look, mailsOf, untilRead } from './reading.ts';
import { mailTo, serverOf, startStage, until } from './stage.ts';

const dovecot = await startDovecot();
const stage = await startStage({ imapProbeMs: 400 });
after(async () => {
  await stage[Symbol.asyncDispose]();
  await dovecot.stop();
});

async function watch(user: string): Promise<string> {
  const { status, body } = await stage.addSource(user, serverOf(dovecot, user));
  assert.equal(status, 201, JSON.stringify(body));
  await stage.waitForState(body.id, 'idle');
  return body.id;
}

const publishedAs = (subject: string) => mailsOf(stage).find((mail) => mail.subject === subject);

describe('the event of a mail', () => {
  test('says which folder it came to, and what that means', async () => {
    const user = 'placed@example.com';
    const id = await watch(user);
    const startedAt = Date.now();
    await dovecot.deliver(user, mailTo(user, 'to the inbox'));
    await dovecot.deliver(user, mailTo(user, 'to junk'), { folder: 'Junk' });
    await stage.waitForSubjects(['to the inbox', 'to junk']);
    const inbox = publishedAs('to the inbox');
    assert.equal(inbox.placement, 'inbox');
    assert.equal(inbox.folder, 'INBOX');
    assert.deepEqual(inbox.labels, []);
    assert.equal(inbox.providerId, null);
    assert.deepEqual(inbox.source, { id, kind: 'imap' });
    assert.equal(inbox.address, user);
    assert.equal(inbox.truncated, false);
    const junk = publishedAs('to junk');
    assert.equal(junk.placement, 'spam');
    assert.equal(junk.folder, 'Junk');
    for (const { receivedAt } of [inbox, junk]) {
      // INTERNALDATE has no milliseconds.
      assert.ok(
        Date.parse(receivedAt) >= startedAt - 1000 && Date.parse(receivedAt) <= Date.now(),
        receivedAt,
      );
    }
  });

  test('has the time at which the server received it, whatever its Date says', async () => {
    const user = 'received@example.com';
    await watch(user);
    const internalDate = new Date('2026-03-04T05:06:07.000Z');
    await dovecot.drop(user, mailTo(user, 'received in March'), { internalDate });
    await stage.waitForSubjects(['received in March']);
    const { receivedAt, date } = publishedAs('received in March');
    assert.equal(receivedAt, internalDate.toISOString());
    assert.equal(date, '2026-11-26T10:00:00.000Z');
  });
});

describe('reading', () => {
  test('leaves a mail as it was: unread, and where it was', async () => {
    const user = 'unread@example.com';
    await watch(user);
    await dovecot.deliver(user, mailTo(user, 'stays unread'));
    await stage.waitForSubjects(['stays unread']);
    const flags = await dovecot.doveadm(['fetch', '-u', user, 'flags', 'mailbox', 'INBOX', 'ALL']);
    assert.ok(!flags.includes('\\Seen'), flags);
    assert.equal((await dovecot.status(user)).messages, 1);
  });

  test('takes a mail that was read elsewhere before: flags are not what is new', async () => {
    const user = 'seen@example.com';
    await watch(user);
    await dovecot.drop(user, mailTo(user, 'seen already'), { flags: ['seen'] });
    await stage.waitForSubjects(['seen already']);
  });

  test('is not begun anew by flags that change', async () => {
    const user = 'flags@example.com';
    const id = await watch(user);
    await dovecot.deliver(user, mailTo(user, 'flagged'));
    await stage.waitForSubjects(['flagged']);
    await dovecot.flag(user, 'INBOX', 'add', '\\Seen');
    await dovecot.flag(user, 'INBOX', 'add', '\\Flagged');
    await dovecot.deliver(user, mailTo(user, 'behind the flags'));
    await stage.waitForSubjects(['flagged', 'behind the flags']);
    await untilRead(stage, id, 2);
  });
});

describe('one mail that comes twice is one event', () => {
  test('by IMAP, and pushed by a program', async () => {
    const user = 'two-ways@example.com';
    const id = await watch(user);
    const { mailboxId } = await stage.readSource(id);
    const created = await stage.service.api('POST', `/v1/mailboxes/${mailboxId}/sources`, { kind: 'raw' });
    const headers = { 'content-type': 'message/rfc822' };
    const push = async (mail: string): Promise<string> => {
      const response = await stage.service.push(created.body, mail, headers);
      return JSON.parse(await response.text()).results[0].status;
    };

    const first = mailTo(user, 'by IMAP first');
    await dovecot.deliver(user, first);
    await stage.waitForSubjects(['by IMAP first']);
    assert.equal(await push(first), 'duplicate');

    const second = mailTo(user, 'pushed first');
    assert.equal(await push(second), 'accepted');
    await stage.waitForSubjects(['pushed first']);
    await dovecot.deliver(user, second);
    await untilRead(stage, id, 2);
    await stage.waitForSubjects(['by IMAP first', 'pushed first']);
  });

  test('but two mailboxes that both get it have one each', async () => {
    const user = 'mine@example.com';
    await watch(user);
    const other = await addPushSource(stage.service, 'raw');
    const mail = mailTo(user, 'to both');
    await stage.service.push(other, mail, { 'content-type': 'message/rfc822' });
    await dovecot.deliver(user, mail);
    const both = () => mailsOf(stage).filter(({ subject }) => subject === 'to both');
    await until(
      () => both().length === 2,
      20_000,
      () => `${both().length} came`,
    );
    assert.equal(new Set(both().map(({ mailboxId }) => mailboxId)).size, 2);
  });

  test('moved to junk and back after it was read', async () => {
    const user = 'moved@example.com';
    const id = await watch(user);
    await dovecot.deliver(user, mailTo(user, 'moved about'));
    await stage.waitForSubjects(['moved about']);
    await untilRead(stage, id, 1);
    await dovecot.move(user, 'INBOX', 'Junk');
    await untilRead(stage, id, 1, 'Junk');
    await dovecot.move(user, 'Junk', 'INBOX');
    await untilRead(stage, id, 2);
    await stage.waitForSubjects(['moved about']);
    assert.equal(publishedAs('moved about').placement, 'inbox');
  });

  test('moved before it was read, it is read where it is', async () => {
    const user = 'moved-away@example.com';
    const id = await watch(user);
    await stage.service.api('POST', `/v1/sources/${id}/stop`);
    await stage.waitForState(id, 'disconnected');
    await dovecot.deliver(user, mailTo(user, 'moved unread'));
    await dovecot.move(user, 'INBOX', 'Junk');
    await dovecot.deliver(user, mailTo(user, 'copied unread'));
    await dovecot.copy(user, 'INBOX', 'Junk');
    await stage.service.api('POST', `/v1/sources/${id}/start`);
    await stage.waitForSubjects(['moved unread', 'copied unread']);
    await untilRead(stage, id, 2, 'Junk');
    await stage.waitForSubjects(['moved unread', 'copied unread']);
    assert.equal(publishedAs('moved unread').folder, 'Junk');
  });
});

describe('a mail larger than the limit', () => {
  test('comes with its headers alone, and says so; one at the limit comes whole', async () => {
    const user = 'large@example.com';
    const id = await watch(user);
    const limit = 1024 * 1024;
    const bodyOf = (bytes: number) =>
      `${'x'.repeat(998)}\r\n`.repeat(Math.ceil(bytes / 1000)).slice(0, bytes);
    await dovecot.deliver(user, mailTo(user, 'too large', bodyOf(limit + 1)));
    const head = mailTo(user, 'just fits', '').length;
    await dovecot.deliver(user, mailTo(user, 'just fits', bodyOf(limit - head - 1000)));
    await dovecot.deliver(user, mailTo(user, 'small'));
    await stage.waitForSubjects(['too large', 'just fits', 'small']);
    await untilRead(stage, id, 3);
    const large = publishedAs('too large');
    assert.equal(large.truncated, true);
    assert.deepEqual(large.from, { name: 'Ada', address: 'ada@example.com' });
    assert.equal(large.text, null);
    assert.equal(publishedAs('just fits').truncated, false);
    await look(stage, id);
    assert.equal((await stage.readSource(id)).counts.failed, 0);
  });
});
