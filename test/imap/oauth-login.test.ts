import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { readConfig } from '../../src/config.ts';
import { startDovecot } from '../support/imap/dovecot.ts';
import { startTokenBook } from '../support/imap/token-book.ts';
import { startTokenEndpoint } from '../support/imap/token-endpoint.ts';
import { mailTo, until } from './stage.ts';
import {
  addNeighbour,
  assertUnsaid,
  refuseSource,
  rowIdOf,
  startTroubledStage,
  waitForFailure,
} from './trouble.ts';

const tokens = await startTokenBook();
after(() => tokens[Symbol.asyncDispose]());
const dovecot = await startDovecot({ tokens });
after(() => dovecot.stop());
const endpoint = await startTokenEndpoint(tokens);
after(() => endpoint[Symbol.asyncDispose]());

const CLIENT = { id: 'client-of-the-tests', secret: 'client-Secret-Of-The-Tests' };
const { google, microsoft } = readConfig({});
const stage = await startTroubledStage({
  google: { ...google, client: CLIENT, tokenUrl: endpoint.url },
  microsoft: { ...microsoft, client: CLIENT, tokenUrl: endpoint.url },
});
after(() => stage[Symbol.asyncDispose]());
const neighbour = await addNeighbour(stage, dovecot);
after(() => neighbour.proxy.close());

const CUSTOM = { tokenUrl: endpoint.url, clientId: CLIENT.id, clientSecret: CLIENT.secret };

function sourceOf(user: string, provider: 'custom' | 'google' | 'microsoft' = 'custom') {
  const refreshToken = endpoint.grant(user);
  return {
    ...{ host: dovecot.host, port: dovecot.port, security: 'none' },
    auth: { type: 'oauth', user, provider, refreshToken, ...(provider === 'custom' && CUSTOM) },
  };
}

async function addRunning(user: string, provider?: 'custom' | 'google' | 'microsoft') {
  const source = sourceOf(user, provider);
  const { status, body } = await stage.addSource(user, source);
  assert.equal(status, 201, JSON.stringify(body));
  assertUnsaid(source.auth.refreshToken, user, body);
  await stage.waitForState(body.id, 'idle');
  return { id: body.id as string, ...source.auth };
}

describe('a login by token', () => {
  for (const provider of ['custom', 'google', 'microsoft'] as const)
    test(`of ${provider} reads mail, and makes a token for each connection`, async () => {
      const user = `${provider}@example.com`;
      const { id, refreshToken } = await addRunning(user, provider);
      assert.match(dovecot.logins(user).at(-1)?.method ?? '', /XOAUTH2|OAUTHBEARER/);
      await dovecot.deliver(user, mailTo(user, `by token of ${provider}`));
      await stage.waitForSubjects([`by token of ${provider}`]);
      const asked = endpoint.asked(user).length;
      assert.equal(asked, dovecot.logins(user).length, 'one for each login');
      await dovecot.kick(user);
      await waitForFailure(stage, id, /closed the connection/);
      await stage.hurry(id);
      await stage.waitForState(id, 'idle');
      assert.equal(endpoint.asked(user).length, asked + 1);
      const [form] = endpoint.asked(user);
      assert.deepEqual(
        [form?.get('grant_type'), form?.get('client_id'), form?.get('client_secret')],
        ['refresh_token', CLIENT.id, CLIENT.secret],
      );
      for (const token of endpoint.issued(user)) assertUnsaid(token, user, stage.lines);
      assertUnsaid(refreshToken, user, stage.lines);
      assertUnsaid(CLIENT.secret, user, stage.lines, await stage.readSource(id));
    });

  test('keeps a refresh token that comes in the place of the old one, sealed, and never shows the old one again', async () => {
    const user = 'rotating@example.com';
    endpoint.rotate(user);
    const { id, refreshToken } = await addRunning(user);
    for (let round = 0; round < 3; round++) {
      await dovecot.kick(user);
      await waitForFailure(stage, id, /closed the connection/);
      await stage.hurry(id);
      await stage.waitForState(id, 'idle');
    }
    const shown = endpoint.asked(user).map((form) => form.get('refresh_token'));
    assert.equal(shown.length, 5);
    assert.equal(shown[0], refreshToken);
    assert.equal(new Set(shown).size, shown.length, 'each once');
    assert.equal(endpoint.refused(user), 0);
    const [row] = await stage.sql`SELECT credentials, settings FROM sources WHERE id = ${rowIdOf(id)}`;
    assert.ok(row);
    for (const token of shown) {
      assert.ok(!row.credentials.includes(Buffer.from(token ?? '')), 'sealed');
      assertUnsaid(token ?? '', user, row.settings, stage.lines);
    }
  });

  test('keeps a refresh token that came with a change that does not work', async () => {
    const user = 'rotating-refused@example.com';
    const { id } = await addRunning(user);
    endpoint.rotate(user);
    const refused = await stage.service.api('PATCH', `/v1/sources/${id}`, { folders: [{ path: 'Nowhere' }] });
    assert.equal(refused.status, 400, JSON.stringify(refused.body));
    await dovecot.kick(user);
    await waitForFailure(stage, id, /closed the connection/);
    await stage.hurry(id);
    await stage.waitForState(id, 'idle');
    assert.equal(endpoint.refused(user), 0);
  });

  test('is left as it is kept by a change of something else', async () => {
    const user = 'kept-consent@example.com';
    const { id } = await addRunning(user);
    const read = () => stage.sql`SELECT credentials, account FROM sources WHERE id = ${rowIdOf(id)}`;
    const [before] = await read();
    const changed = await stage.service.api('PATCH', `/v1/sources/${id}`, { folders: [{ role: 'inbox' }] });
    assert.equal(changed.status, 200, JSON.stringify(changed.body));
    const [after] = await read();
    assert.deepEqual(after, before, 'nobody else may have put another there meanwhile');
  });

  test('goes on with a consent that was given while another token came', async () => {
    const user = 'new-consent@example.com';
    const { id } = await addRunning(user);
    endpoint.revoke(user);
    const changed = await stage.service.api('PATCH', `/v1/sources/${id}`, { auth: sourceOf(user).auth });
    assert.equal(changed.status, 200, JSON.stringify(changed.body));
    await dovecot.deliver(user, mailTo(user, 'under the new consent'));
    await stage.waitForSubjects(['under the new consent']);
  });
});

describe('a consent that is gone', () => {
  test('waits for a person, tells so once, asks no more, and a new one brings the mail that came meanwhile', async () => {
    const user = 'gone@example.com';
    const { id } = await addRunning(user);
    endpoint.revoke(user);
    await dovecot.kick(user);
    await waitForFailure(stage, id, /closed the connection/);
    await stage.hurry(id);
    const waiting = await stage.waitForState(id, 'needs_reauth');
    assert.match(waiting.reason, /no access token: invalid_grant/);
    await until(
      async () => (await stage.events('source.state_changed', id)).length > 0,
      10_000,
      () => 'nobody is told',
    );
    const [event, ...more] = await stage.events('source.state_changed', id);
    assert.deepEqual(more, []);
    assert.match(JSON.stringify(event?.data), /"state":"needs_reauth"/);
    const asked = endpoint.asked(user).length;
    const logins = dovecot.logins(user).length;
    await stage.hurry(id);
    await stage.service.api('POST', `/v1/sources/${id}/sync`, {});
    await dovecot.deliver(user, mailTo(user, 'while the consent was gone'));
    await neighbour.assertUntouched();
    await neighbour.assertUntouched();
    assert.equal(endpoint.asked(user).length, asked, 'the provider is left alone');
    assert.equal(dovecot.logins(user).length, logins);

    const refused = await stage.service.api('PATCH', `/v1/sources/${id}`, {
      auth: { ...sourceOf(user).auth, refreshToken: 'not-a-token-at-all' },
    });
    assert.equal(refused.body.code, 'credentials_refused');
    assert.equal((await stage.readSource(id)).state, 'needs_reauth');
    const changed = await stage.service.api('PATCH', `/v1/sources/${id}`, { auth: sourceOf(user).auth });
    assert.equal(changed.status, 200, JSON.stringify(changed.body));
    await stage.waitForSubjects(['while the consent was gone']);
    await stage.waitForState(id, 'idle');
  });

  test('is refused when a source is asked for', async () => {
    const user = 'never@example.com';
    const source = sourceOf(user);
    endpoint.revoke(user);
    const { problem } = await refuseSource(stage, user, source, { status: 400, code: 'credentials_refused' });
    assert.match(problem.detail, /invalid_grant/);
    assertUnsaid(source.auth.refreshToken, user, problem, stage.lines);
  });
});

describe('a token endpoint', () => {
  test('that is away is a matter of the network: it is tried again, and nothing is disabled', async () => {
    const user = 'away@example.com';
    const { id } = await addRunning(user);
    for (const how of ['error', 'garbage'] as const) {
      endpoint.behave(how);
      await dovecot.kick(user);
      await waitForFailure(stage, id, /closed the connection/);
      await stage.hurry(id);
      await waitForFailure(stage, id, /no access token: the token endpoint/);
      const [row] = await stage.sql`SELECT fault, state FROM sources WHERE id = ${rowIdOf(id)}`;
      assert.deepEqual({ ...row }, { fault: 'network', state: 'backoff' });
      endpoint.behave('answer');
      await stage.hurry(id);
      await stage.waitForState(id, 'idle');
    }
    assert.deepEqual(await stage.events('source.%', id), []);
  });

  test('that is away when a source is asked for is told as such', async () => {
    const user = 'away-at-first@example.com';
    const source = sourceOf(user);
    endpoint.behave('error');
    const { problem } = await refuseSource(stage, user, source, {
      status: 503,
      code: 'provider_unavailable',
    });
    endpoint.behave('answer');
    assert.match(problem.detail, /the token endpoint answers 500/);
  });

  test('that refuses the client is told as such', async () => {
    const user = 'other-client@example.com';
    const source = sourceOf(user);
    const auth = { ...source.auth, clientSecret: 'wrong-Client-Secret' };
    const { problem } = await refuseSource(
      stage,
      user,
      { ...source, auth },
      {
        status: 400,
        code: 'credentials_refused',
      },
    );
    assert.match(problem.detail, /invalid_client/);
    assertUnsaid('wrong-Client-Secret', user, problem, stage.lines);
  });

  for (const tokenUrl of [
    'http://169.254.169.254/token',
    'http://10.0.0.1/token',
    'https://metadata.google.internal/x',
  ])
    test(`at ${tokenUrl} is not asked`, async () => {
      const user = `inside-${tokenUrl.length}@example.com`;
      const source = sourceOf(user);
      const auth = { ...source.auth, tokenUrl };
      await refuseSource(stage, user, { ...source, auth }, { status: 400, code: 'egress_blocked' });
    });

  test('that sends elsewhere is not followed: the secret stays here', async () => {
    const user = 'redirected@example.com';
    const source = sourceOf(user);
    endpoint.behave('redirect');
    await refuseSource(stage, user, source, { status: 503, code: 'provider_unavailable' });
    endpoint.behave('answer');
    assert.equal(endpoint.strayed(), 0);
  });

  test('is named with its client by a custom login, and configured by the others', async () => {
    const user = 'half@example.com';
    const auth = { type: 'oauth', user, provider: 'custom', refreshToken: 'r' };
    const source = { host: dovecot.host, port: dovecot.port, security: 'none', auth };
    const { problem } = await refuseSource(stage, user, source, { status: 400, code: 'bad_request' });
    assert.match(problem.detail, /tokenUrl and clientId/);
    await using bare = await startTroubledStage();
    for (const provider of ['google', 'microsoft']) {
      const asked = { ...source, auth: { ...auth, provider } };
      await refuseSource(bare, `${provider}-${user}`, asked, { status: 503, code: 'oauth_not_configured' });
    }
  });
});

test('all the while the other mailbox went on', () => neighbour.assertUntouched());
