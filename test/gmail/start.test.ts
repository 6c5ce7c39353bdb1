import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitUntil } from '../support/embedded-place.ts';
import { invalidGrant, serverError } from '../support/gmail/faults.ts';
import { addGmailSource, all, storedIds } from './gmail-service.ts';
import { eventsOf, openService, openWorld, sourceOf, untilSource } from './stage.ts';

const ACCOUNTS = ['ada', 'bob', 'cy', 'dan', 'eve', 'fay', 'gil', 'hal'].map((name) => `${name}@example.com`);
const [ada, bob, cy, dan, eve, fay, gil, hal] = ACCOUNTS as [
  string,
  string,
  string,
  string,
  string,
  string,
  string,
  string,
];
const world = await openWorld({ accounts: ACCOUNTS });
const { service } = await openService(world);

async function addMailbox(address: string, tenant = 'default'): Promise<string> {
  return (await service.api('POST', '/v1/mailboxes', { address, tenant })).body.id;
}

function addSource(mailboxId: string, body: object) {
  return service.api('POST', `/v1/mailboxes/${mailboxId}/sources`, { kind: 'gmail', ...body });
}

const oauth = (account: string) => ({ type: 'oauth', refreshToken: world.refreshToken(account) });

test('begins where the mailbox is, asks for no mail of before, and has it watched', async () => {
  const old = await world.deliver(ada, { subject: 'Old' });
  const { status, body: source } = await addSource(await addMailbox(ada), { auth: oauth(ada) });
  assert.equal(status, 201);
  assert.equal(source.kind, 'gmail');
  assert.equal(source.state, 'idle');
  assert.equal(source.cursor, await world.historyId(ada));
  assert.equal(source.cursor.length, 21);

  const watched = await untilSource(service, source.id, 'is watched', ({ mode }) => mode === 'push');
  assert.equal(watched.state, 'idle');
  assert.equal(world.ledger.count({ name: 'watch', account: ada }), 1);
  assert.equal(world.ledger.count({ name: 'getProfile', account: ada }), 1);
  assert.equal(world.ledger.count({ name: 'messages.get', messageId: old.id }), 0);
  assert.deepEqual(await storedIds(service, source.mailboxId), []);
});

test('reads what is there since a time that was wished for, and no event calls that a gap', async () => {
  const dayMs = 86_400_000;
  const before = await world.deliver(bob, { internalDateMs: Date.now() - 3 * dayMs });
  const after = await world.deliver(bob, { internalDateMs: Date.now() - dayMs });
  const since = new Date(Date.now() - 2 * dayMs).toISOString();
  const source = await addGmailSource(service, world, bob, { since });
  await waitUntil('the wish is fulfilled', async () => {
    const [gap] = await all(service, `/v1/gaps?source=${source.id}`);
    return gap?.recoveredAt !== null;
  });
  assert.deepEqual(await storedIds(service, source.mailboxId), [after.id]);
  assert.equal(world.ledger.count({ messageId: before.id }), 0);
  const [gap, ...others] = await all(service, `/v1/gaps?source=${source.id}`);
  assert.deepEqual(others, []);
  assert.equal(gap.reason, 'requested');
  assert.equal(gap.since, since);
  assert.equal(gap.listed, 1);
  assert.equal(gap.recovered, 1);
  assert.deepEqual(await eventsOf(service, source.id, 'gap.opened', 'gap.recovered'), []);
});

test('refuses credentials of another account, and keeps nothing of them', async () => {
  const mailboxId = await addMailbox(cy);
  const { status, body } = await addSource(mailboxId, { auth: oauth(dan) });
  assert.equal(status, 400);
  assert.equal(body.code, 'credentials_refused');
  assert.match(body.detail, /of dan@example\.com, and the mailbox is cy@example\.com/);
  assert.deepEqual(await all(service, `/v1/sources?mailbox=${mailboxId}`), []);
  assert.equal(world.ledger.count({ name: 'watch', account: dan }), 0);
});

test('refuses a consent that is gone, and keeps nothing of it', async () => {
  const mailboxId = await addMailbox(gil, 'gone');
  const remove = world.fail({ name: 'token', account: gil }, invalidGrant(), Number.POSITIVE_INFINITY);
  const { status, body } = await addSource(mailboxId, { auth: oauth(gil) });
  remove();
  assert.equal(status, 400);
  assert.equal(body.code, 'credentials_refused');
  assert.match(body.detail, /invalid_grant/);
  assert.ok(!JSON.stringify(body).includes(world.refreshToken(gil)));
  assert.deepEqual(await all(service, `/v1/sources?mailbox=${mailboxId}`), []);
});

test('says that Gmail is away, and keeps nothing', async () => {
  const mailboxId = await addMailbox(dan, 'away');
  const remove = world.fail({ account: dan, name: 'getProfile' }, serverError(), 1);
  const { status, body } = await addSource(mailboxId, { auth: oauth(dan) });
  remove();
  assert.equal(status, 503);
  assert.equal(body.code, 'provider_unavailable');
  assert.deepEqual(await all(service, `/v1/sources?mailbox=${mailboxId}`), []);
});

test('has one source a mailbox', async () => {
  const { mailboxId, id } = await addGmailSource(service, world, eve);
  const { status, body } = await addSource(mailboxId, { auth: oauth(eve) });
  assert.equal(status, 409);
  assert.equal(body.code, 'conflict');
  assert.ok(body.detail.includes(id));
  assert.equal((await all(service, `/v1/sources?mailbox=${mailboxId}`)).length, 1);
});

test('reads in the name of a mailbox with a service account', async () => {
  const mailboxId = await addMailbox(fay);
  const { status, body: source } = await addSource(mailboxId, { auth: { type: 'service-account' } });
  assert.equal(status, 201);
  const mail = await world.deliver(fay);
  await service.api('POST', `/v1/sources/${source.id}/sync`, {});
  await waitUntil('its mail is stored', async () => (await storedIds(service, mailboxId)).length === 1);
  assert.deepEqual(await storedIds(service, mailboxId), [mail.id]);
  assert.equal(world.ledger.count({ name: 'token', account: fay }), 1);
});

test('a service account that may not speak for a mailbox is refused with what it lacks', async () => {
  const mailboxId = await addMailbox('nobody@example.com');
  const { status, body } = await addSource(mailboxId, { auth: { type: 'service-account' } });
  assert.equal(status, 400);
  assert.equal(body.code, 'credentials_refused');
  assert.match(body.detail, /domain-wide/);
  assert.deepEqual(await all(service, `/v1/sources?mailbox=${mailboxId}`), []);
});

test('says which variables it needs', async () => {
  const env = { GOOGLE_CLIENT_ID: '', GOOGLE_CLIENT_SECRET: '', GOOGLE_SERVICE_ACCOUNT_JSON: '' };
  const { service: bare } = await openService(world, { env });
  const { body: mailbox } = await bare.api('POST', '/v1/mailboxes', { address: ada });
  for (const [auth, variable] of [
    [oauth(ada), /GOOGLE_CLIENT_ID and GOOGLE_CLIENT_SECRET/],
    [{ type: 'service-account' }, /GOOGLE_SERVICE_ACCOUNT_JSON/],
  ] as const) {
    const path = `/v1/mailboxes/${mailbox.id}/sources`;
    const { status, body } = await bare.api('POST', path, { kind: 'gmail', auth });
    assert.equal(status, 503);
    assert.equal(body.code, 'oauth_not_configured');
    assert.match(body.detail, variable);
  }
  assert.deepEqual(await all(bare, '/v1/sources'), []);
});

test('new credentials by PATCH are asked for their account first', async () => {
  const source = await addGmailSource(service, world, gil);
  const { body: refused } = await service.api('PATCH', `/v1/sources/${source.id}`, { auth: oauth(hal) });
  assert.equal(refused.code, 'credentials_refused');
  const fresh = await world.grant(gil);
  const { status } = await service.api('PATCH', `/v1/sources/${source.id}`, { auth: oauth(gil) });
  assert.equal(status, 200);
  const mail = await world.deliver(gil);
  await service.api('POST', `/v1/sources/${source.id}/sync`, {});
  await waitUntil('mail comes', async () => (await storedIds(service, source.mailboxId)).length === 1);
  assert.deepEqual(await storedIds(service, source.mailboxId), [mail.id]);
  assert.equal(fresh, world.refreshToken(gil));
});

test('the settings may be changed alone, and unknown ones are refused', async () => {
  const source = await addGmailSource(service, world, hal);
  const { cursor } = await sourceOf(service, source.id);
  const path = `/v1/sources/${source.id}`;
  assert.equal((await service.api('PATCH', path, { settings: { snet: true } })).status, 400);
  assert.equal((await service.api('PATCH', path, { settings: { sent: true } })).status, 200);
  const sent = await world.deliver(hal, { labelIds: ['SENT'] });
  await service.api('POST', `${path}/sync`, {});
  await waitUntil('sent mail comes', async () => (await storedIds(service, source.mailboxId)).length === 1);
  assert.deepEqual(await storedIds(service, source.mailboxId), [sent.id]);
  assert.ok(BigInt((await sourceOf(service, source.id)).cursor) > BigInt(cursor));
});
