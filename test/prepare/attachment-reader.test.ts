import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { createAttachmentReader } from '../../src/prepare/attachment-reader.ts';
import { bytesOf, multipart } from '../support/raw-mail.ts';

const reader = createAttachmentReader();
after(() => reader.close());

/** Large enough for the thread. */
const content = Buffer.alloc(100_000, 'content ');
const part = `Content-Type: application/zip\nContent-Disposition: attachment\nContent-Transfer-Encoding: base64\n\n`;
const mail = () =>
  Uint8Array.from(bytesOf(multipart('mixed', ['\nText', part + content.toString('base64')])));
const signal = new AbortController().signal;

test('takes an attachment out of a mail, which it keeps for itself', async () => {
  const given = mail();
  assert.deepEqual(Buffer.from((await reader.read(given, 0, signal)) ?? ''), content);
  assert.equal(given.length, 0);
  assert.equal(await reader.read(mail(), 1, signal), undefined);
  assert.equal(await reader.read(new Uint8Array(100_000), 0, signal), undefined);
});

test('ends what nobody waits for any more, and reads the next', async () => {
  const leaving = new AbortController();
  const [under, waiting] = [reader.read(mail(), 0, leaving.signal), reader.read(mail(), 0, leaving.signal)];
  const next = reader.read(mail(), 0, signal);
  leaving.abort(new Error('left'));
  await assert.rejects(under, /left/);
  await assert.rejects(waiting, /left/);
  assert.deepEqual(Buffer.from((await next) ?? ''), content);
});

test('many at once are read one after the other', async () => {
  const all = await Promise.all(Array.from({ length: 30 }, () => reader.read(mail(), 0, signal)));
  for (const one of all) assert.deepEqual(Buffer.from(one ?? ''), content);
});

test('when it is closed, says so to who waits', async () => {
  const closing = createAttachmentReader();
  const waiting = [closing.read(mail(), 0, signal), closing.read(mail(), 0, signal)];
  const ended = Promise.allSettled(waiting);
  await closing.close();
  for (const one of await ended) {
    assert.equal(one.status === 'rejected' && one.reason.code, 'overloaded');
  }
});
