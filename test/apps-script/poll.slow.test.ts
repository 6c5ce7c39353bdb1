import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { mailOf } from '../support/service.ts';
import { callGmail } from './gmail-service.ts';
import { createInstallation } from './installation.ts';
import { startWorld, type World } from './world.ts';

const ACCOUNTS = Array.from({ length: 20 }, (_, i) => `poll-${i}@example.com`);
let world: World;
let next = 0;
before(async () => {
  world = await startWorld(ACCOUNTS);
});
after(() => world[Symbol.asyncDispose]());

/** A fresh mailbox with the script in it. */
const installed = (options = {}) => createInstallation(world, ACCOUNTS[next++] ?? '', options);

test('new mail is at the server within a minute, and mail from before is not sent', () => {
  const box = installed({ install: false });
  box.deliver('before', { isWanted: false });
  box.runtime.run('install');
  box.deliver('after');
  box.pass(1.1);
  box.expectAllStored();
  box.expectCursorBehindServer();
  const { batch, backlog, failures } = box.runtime.state;
  assert.deepEqual([batch, backlog, failures], [null, 0, 0]);
});

test('mail arrives byte for byte, whatever shape Gmail gives it in', () => {
  for (const rawShape of ['text', 'bytes'] as const) {
    const box = installed();
    box.runtime.settings.rawShape = rawShape;
    const mails = ['Grüße \u{1F600} 日本', 'x', 'ab'].map((word) => mailOf(`=?utf-8?q?${rawShape}?=`, word));
    const ids = mails.map((raw) => box.deliver('', { raw }));
    box.pass(1.1);
    const listed = box.api('GET', `/v1/messages?mailbox=${box.source.mailboxId}`).data;
    assert.equal(listed.length, 3);
    for (const [i, id] of ids.entries()) {
      const { id: messageId } = listed.find((one: { providerId: string }) => one.providerId === id);
      const raw = world.http({
        url: `service:/v1/messages/${messageId}/raw`,
        method: 'GET',
        headers: { authorization: 'Bearer test-admin-token-of-good-length' },
      });
      assert.equal(Buffer.from(raw.body).toString(), mails[i]);
    }
  }
});

test('drafts and sent mail stay, mail to oneself, spam and trash go', () => {
  const box = installed();
  box.deliver('draft', { labelIds: ['DRAFT'], isWanted: false });
  box.deliver('sent', { labelIds: ['SENT'], isWanted: false });
  box.deliver('to myself', { labelIds: ['SENT', 'INBOX'] });
  box.deliver('spam', { labelIds: ['SPAM'] });
  box.deliver('trash', { labelIds: ['TRASH'] });
  box.deliver('moved out of the inbox by a filter', { labelIds: [] });
  box.pass(1.1);
  box.expectAllStored();
});

test('the owner can keep spam and trash to themselves, and send what they sent', () => {
  const change = (script: string) =>
    script
      .replace('SKIP_SENT = true', 'SKIP_SENT = false')
      .replace('SKIP_SPAM = false', 'SKIP_SPAM = true')
      .replace('SKIP_TRASH = false', 'SKIP_TRASH = true');
  const box = installed({ change });
  box.deliver('sent', { labelIds: ['SENT'] });
  box.deliver('spam', { labelIds: ['SPAM'], isWanted: false });
  box.deliver('trash', { labelIds: ['TRASH'], isWanted: false });
  box.pass(1.1);
  box.expectAllStored();
});

test('the cursor passes a stretch of drafts alone, and the server learns of it', () => {
  const box = installed();
  for (let i = 0; i < 3; i++) box.deliver(`draft ${i}`, { labelIds: ['DRAFT'], isWanted: false });
  box.pass(1.1);
  const { cursor } = box.runtime.state;
  assert.equal(cursor, String(box.delivered.at(-1)?.historyId));
  assert.equal(box.row().cursor, cursor);
});

test('a mail that is gone before it is read is told as missing, and holds up nothing', () => {
  const box = installed();
  const gone = box.deliver('gone', { isWanted: false });
  box.deliver('there');
  callGmail(world, box.runtime.settings.account, 'DELETE', `messages/${gone}`);
  box.pass(1.1);
  box.expectAllStored();
  assert.equal(box.api('GET', `/v1/sources/${box.source.id}`).counts.missing, 1);
});

test('batches are of about 2 MB; a larger mail goes alone, and as headers when the server does not take it', () => {
  const box = installed();
  const sizes = [900, 900, 900, 100, 2500, 100, 3500].map((kilobytes) => kilobytes * 1000);
  for (const size of sizes) box.deliver(`of ${size}`, { body: 'x'.repeat(size) });
  box.pass(1.1);
  box.expectAllStored();
  const batches = box.runtime.posts.filter(({ body }) => body.messages?.length > 0);
  const shapes = batches.map(({ body }) =>
    body.messages.map((mail: { truncated?: boolean }) => mail.truncated ?? false),
  );
  // In base64 900 kB are 1.2 MB: two would be more than 2 MiB. What the server takes is 4 MiB.
  assert.deepEqual(shapes, [[false], [false], [false, false], [false], [false, true]]);
  assert.ok(batches.every(({ bytes }) => bytes < world.bodyLimitBytes));
  const truncated = batches.at(-1)?.body.messages[1];
  assert.match(truncated.headers, /^Subject: of 3500000\r\n/m);
});

test('a backlog larger than a page and a run goes out page by page, run by run', () => {
  const box = installed();
  for (let i = 0; i < 510; i++) box.deliver(`backlog ${i}`);
  const from = box.runtime.calls.length;
  for (let i = 0; i < 3; i++) {
    box.pass(1);
    box.expectCursorBehindServer();
  }
  box.pass(0.1);
  box.expectAllStored();
  const backlogs = box.runtime.posts
    .filter(({ body }) => body.messages?.length > 0)
    .map(({ body }) => body.backlog);
  assert.deepEqual(
    backlogs,
    [...backlogs].sort((a, b) => b - a),
  );
  const reads = box.runtime.calls.slice(from).filter(({ name }) => name === 'Gmail.Messages.get');
  assert.equal(reads.length, 510, 'none is read twice');
});

test('while pages of history are turned, its start stays', () => {
  const box = installed({
    change: (script: string) => script.replace('MAILS_A_RUN = 250', 'MAILS_A_RUN = 900'),
  });
  const { cursor } = box.runtime.state;
  for (let i = 0; i < 510; i++) box.deliver(`paged ${i}`);
  const starts: (string | null)[] = [];
  box.runtime.faults.push((path) => {
    if (path.startsWith('history?')) starts.push(new URLSearchParams(path.slice(8)).get('startHistoryId'));
    return undefined;
  });
  box.pass(1.1);
  box.expectAllStored();
  assert.deepEqual(starts, [cursor, cursor]);
});

test('a run that finds another at work does nothing', () => {
  const box = installed();
  box.deliver('one');
  let calls: string[] = [];
  box.runtime.onCall = ({ name, execution }) => {
    if (name !== 'UrlFetchApp.fetch' || calls.length > 0) return undefined;
    const before = box.runtime.calls.length;
    calls = ['begun'];
    box.runtime.run('poll');
    calls = box.runtime.calls
      .slice(before)
      .filter((one) => one.execution !== execution)
      .map((one) => one.name);
    return undefined;
  };
  box.pass(1.1);
  assert.deepEqual(calls, ['Lock.tryLock']);
  box.expectAllStored();
});

test('a batch whose answer was lost is sent again under its id, and stored once', () => {
  const box = installed();
  box.pass(1.1);
  box.deliver('one');
  box.deliver('two');
  let isKilled = false;
  box.runtime.onCall = ({ name }) => {
    if (name !== 'UrlFetchApp.fetch' || isKilled) return undefined;
    isKilled = true;
    return 'killAfter';
  };
  box.pass(1);
  const [cursor, batch] = [box.runtime.state.cursor, box.runtime.state.batch.id];
  assert.ok(BigInt(cursor) < (box.delivered[0]?.historyId ?? 0n), 'the cursor waits for the answer');
  box.deliver('three');
  box.pass(1);
  box.expectAllStored();
  const posts = box.runtime.posts.filter(({ body }) => body.messages?.length > 0);
  assert.deepEqual(
    posts.map(({ id, body }) => [id === batch, body.messages.length]),
    [
      [true, 2],
      [true, 2],
      [false, 1],
    ],
  );
});

test('what is kept holds ids, no mail', () => {
  const box = installed();
  box.pass(1.1);
  box.deliver('a subject to be seen nowhere', { body: 'nor this body' });
  box.runtime.onCall = ({ name }) => (name === 'UrlFetchApp.fetch' ? 'kill' : undefined);
  box.pass(1);
  const kept = JSON.stringify([...box.runtime.properties]);
  assert.ok(kept.includes(box.delivered[0]?.id ?? '?'));
  assert.doesNotMatch(kept, /a subject|nor this|me@example/);
});

test('a record of several mails is acknowledged with its last', () => {
  const box = installed({
    change: (script: string) => script.replace('MAILS_A_BATCH = 100', 'MAILS_A_BATCH = 2'),
  });
  const ids = ['a', 'b', 'c'].map((subject) => box.deliver(subject));
  // The emulator makes a record a mail; Gmail may put several into one.
  const last = String(box.delivered[2]?.historyId);
  const first = box.runtime.state.cursor;
  box.runtime.joinHistory = true;
  box.pass(1.1);
  box.expectAllStored();
  const cursors = box.runtime.posts
    .filter(({ body }) => body.messages?.length > 0)
    .map(({ body }) => [body.messages.map(({ id }: { id: string }) => id), body.cursor]);
  assert.deepEqual(cursors, [
    [ids.slice(0, 2), { from: first, to: first }],
    [ids.slice(2), { from: first, to: last }],
  ]);
});

test('empty pages before the last make no mailbox quiet, and an endless chain of them no run', () => {
  const box = installed();
  box.pass(1.1);
  let isEndless = true;
  box.runtime.faults.push((path) =>
    isEndless && path.startsWith('history?')
      ? { json: { historyId: '999999999999999999999', nextPageToken: 'next' } }
      : undefined,
  );
  box.runtime.settings.latency = () => 500;
  box.pass(20);
  assert.ok(box.runtime.executions.every(({ isKilled }) => !isKilled));
  assert.equal(box.runtime.state.quiet?.id === '999999999999999999999', false);
  isEndless = false;
  box.deliver('one');
  box.pass(10);
  box.expectAllStored();
});
