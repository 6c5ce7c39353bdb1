import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startDovecot } from '../support/imap/dovecot.ts';
import { mailTo, serverOf, startStage } from './stage.ts';

const dovecot = await startDovecot();
after(() => dovecot.stop());
const stage = await startStage();
after(() => stage[Symbol.asyncDispose]());

test('mail that arrives becomes a webhook, once; what was there before does not', async () => {
  const user = 'first@example.com';
  await dovecot.deliver(user, mailTo(user, 'from before'));
  const { status, body } = await stage.addSource(user, serverOf(dovecot, user));
  assert.equal(status, 201, JSON.stringify(body));
  const source = await stage.waitForState(body.id, 'idle');
  assert.equal(source.mode, 'idle');
  await dovecot.deliver(user, mailTo(user, 'one'));
  await stage.waitForSubjects(['one']);
  await dovecot.deliver(user, mailTo(user, 'two'));
  await dovecot.deliver(user, mailTo(user, 'three'), { folder: 'Junk' });
  await stage.waitForSubjects(['one', 'two'], 5000);
  await stage.service.api('POST', `/v1/sources/${body.id}/sync`, {});
  await stage.waitForSubjects(['one', 'two', 'three'], 10_000);
  assert.equal(stage.subjects().length, 3);
});
