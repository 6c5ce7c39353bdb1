import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createGmailAccess } from '../../../src/gmail/access.ts';
import type { Gmail } from '../../../src/sources/gmail/client.ts';
import * as faults from '../../support/gmail/faults.ts';
import { type GmailWorld, startGmailWorld } from '../../support/gmail/world.ts';

/* The client against a Gmail over HTTP: Google's library has classes of its own for what comes back. */

const ACCOUNT = 'anna@example.com';
const signal = new AbortController().signal;

let world: GmailWorld;
let gmail: Gmail;
before(async () => {
  world = await startGmailWorld({ accounts: [ACCOUNT] });
  const { client, apiUrl, tokenUrl } = world;
  const access = createGmailAccess({
    client: { id: client.id, secret: client.secret },
    serviceAccount: undefined,
    topic: undefined,
    apiUrl,
    tokenUrl,
    certsUrl: '',
    issuer: '',
  });
  gmail = access.open(ACCOUNT, { type: 'oauth', refreshToken: world.refreshToken(ACCOUNT) });
});
after(() => world.close());

test('reads the profile, history, a list and a mail', async () => {
  const { address, historyId } = await gmail.profile(signal);
  assert.equal(address, ACCOUNT);
  const since = new Date(Date.now() - 60_000);
  const mail = await world.deliver(ACCOUNT, { subject: 'Hello' });
  assert.deepEqual(await gmail.history(historyId, undefined, signal), {
    messageIds: [mail.id],
    lastRecordId: mail.historyId,
    nextPageToken: undefined,
    newestId: mail.historyId,
  });
  const list = await gmail.list({ since, until: null, pageToken: undefined }, signal);
  assert.deepEqual(list.messageIds, [mail.id]);
  const { raw, labelIds } = await gmail.get(mail.id, signal);
  assert.match(Buffer.from(raw, 'base64url').toString(), /^Subject: Hello\r$/m);
  assert.deepEqual(labelIds, ['INBOX', 'UNREAD']);
});

const answers: [name: string, fault: () => faults.Fault, kind: string, waitMs: number | undefined][] = [
  ['429 with its time in the header', () => faults.tooMany(7), 'slow_down', 7000],
  [
    '429 with its time in the text',
    () => faults.tooManyUntil(new Date(Date.now() + 60_000)),
    'slow_down',
    60_000,
  ],
  ['403 of a limit', faults.userRateLimit, 'slow_down', undefined],
  ['403 of a quota', () => faults.quotaSpent(403), 'slow_down', undefined],
  ['403 of a scope', faults.noScope, 'not_allowed', undefined],
  ['403 of a delegation', () => faults.delegationDenied(ACCOUNT), 'not_allowed', undefined],
  ['404', faults.gone, 'not_found', undefined],
  ['a page of HTML', () => faults.serverError(503), 'unavailable', undefined],
  ['an error of the API', faults.backendError, 'unavailable', undefined],
  ['no answer', () => faults.cut('unheard'), 'unavailable', undefined],
  ['half an answer', () => faults.cut('half-way'), 'unavailable', undefined],
  ['what is no JSON', faults.garbage, 'unavailable', undefined],
  ['a mail without its bytes', faults.withoutRaw, 'unavailable', undefined],
];

for (const [name, fault, kind, waitMs] of answers)
  test(`takes ${name} for ${kind}, asked once`, async () => {
    const { id } = await world.deliver(ACCOUNT);
    world.fail({ name: 'messages.get' }, fault());
    // biome-ignore lint/suspicious/noExplicitAny: an error of any shape
    const error: any = await gmail.get(id, signal).then(
      () => assert.fail('a fault'),
      (reason) => reason,
    );
    assert.equal(error.fault, kind, error.stack);
    if (waitMs === undefined) assert.equal(error.retryAfterMs, undefined);
    else assert.ok(Math.abs(error.retryAfterMs - waitMs) < 10_000, `${error.retryAfterMs}`);
    assert.equal(world.ledger.count({ name: 'messages.get', messageId: id }), 1);
  });

test('asks with another token when Gmail no longer takes the one it has', async () => {
  await gmail.profile(signal);
  world.expireAccessTokens();
  const tokens = world.ledger.count({ name: 'token' });
  assert.equal((await gmail.profile(signal)).address, ACCOUNT);
  assert.equal(world.ledger.count({ name: 'token' }), tokens + 1);
  await world.revoke(ACCOUNT);
  await assert.rejects(gmail.profile(signal), { fault: 'needs_reauth' });
});
