import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { accountOf, startScriptedAccount } from './scripted-account.ts';
import { mailTo, startStage } from './stage.ts';

const stage = await startStage();
after(() => stage[Symbol.asyncDispose]());

test('a server that names a time to wait is left alone for so long, and at once', async () => {
  const address = 'throttled@example.com';
  await using account = await startScriptedAccount({ folders: { INBOX: '' } });
  const { body } = await stage.addSource(address, accountOf(account, address));
  await stage.waitForState(body.id, 'idle');
  // As Exchange says it.
  account.onFetchBytes = () => '$tag BAD Request is throttled. Suggested Backoff Time: 3600000 milliseconds';
  account.arrive('INBOX', { raw: mailTo(address, 'later') });
  const source = await stage.waitForState(body.id, 'backoff');
  assert.match(source.reason, /throttled/);
  const waitMs = Date.parse(source.nextAttemptAt) - Date.now();
  assert.ok(waitMs > 50 * 60_000, `it waits ${Math.round(waitMs / 1000)} s`);
  account.onFetchBytes = () => undefined;
  await stage.service.api('POST', `/v1/sources/${body.id}/stop`);
  assert.equal(stage.subjects().length, 0);
});
