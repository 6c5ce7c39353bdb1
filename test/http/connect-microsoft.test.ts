import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import postgres from 'postgres';
import { createKeyring } from '../../src/core/sealed.ts';
import { createBrowser } from '../support/browser.ts';
import {
  CLIENT,
  IMAP_SCOPE,
  type OAuthProviderServer,
  startOAuthProvider,
} from '../support/oauth-provider.ts';
import { SECRET_KEY, startTestService, type TestService } from '../support/service.ts';

const ADDRESS = 'me@outlook.example';
const keyring = createKeyring([SECRET_KEY]);

let microsoft: OAuthProviderServer;
let service: TestService;
let mailboxId: string;
before(async () => {
  microsoft = await startOAuthProvider('microsoft', ADDRESS);
  service = await startTestService({ ...microsoft.settings, dispatch: false });
  mailboxId = (await service.api('POST', '/v1/mailboxes', { address: ADDRESS })).body.id;
});
after(async () => {
  await service.dispose();
  await microsoft[Symbol.asyncDispose]();
});
afterEach(() => microsoft.behave());

async function connect(): Promise<{ status: number; text: string }> {
  const { body } = await service.api('POST', `/v1/mailboxes/${mailboxId}/connect`, { provider: 'microsoft' });
  const { response } = await createBrowser().open(body.url);
  return { status: response.status, text: await response.text() };
}

async function readSources() {
  const sql = postgres(service.databaseUrl, { max: 1 });
  const rows = await sql`SELECT * FROM sources WHERE mailbox_id = ${mailboxId.slice(4)} ORDER BY id`;
  await sql.end();
  return rows;
}

test('a consent makes an imap source that waits for a worker, and another renews it', async () => {
  assert.equal((await connect()).status, 200);
  const [first, ...others] = await readSources();
  assert.ok(first && others.length === 0);
  const id = `src_${first.id.replaceAll('-', '')}`;
  const { body } = await service.api('GET', `/v1/sources/${id}`);
  assert.deepEqual(
    [body.kind, body.state, body.reason, body.wanted, body.mailboxId],
    ['imap', 'disconnected', 'waits for a worker', true, mailboxId],
  );
  assert.deepEqual([first.account, first.settings], [ADDRESS, { provider: 'microsoft' }]);
  const openCredentials = (row: postgres.Row) =>
    JSON.parse(keyring.open(row.credentials, `${id}/credentials`));
  const before = openCredentials(first);
  assert.deepEqual(Object.keys(before).sort(), ['provider', 'refreshToken', 'type', 'user']);
  assert.ok(microsoft.given.includes(before.refreshToken));

  await service.api('POST', `/v1/sources/${id}/stop`);
  const { body: started } = await service.api('POST', `/v1/sources/${id}/start`);
  assert.deepEqual([started.state, started.reason], ['disconnected', 'waits for a worker'], 'not well yet');
  await service.api('POST', `/v1/sources/${id}/stop`);
  assert.equal((await connect()).status, 200);
  const [second, ...more] = await readSources();
  assert.ok(second && more.length === 0, 'it is still one source');
  assert.deepEqual([second.id, second.is_wanted], [first.id, true]);
  assert.notEqual(openCredentials(second).refreshToken, before.refreshToken);
});

test('asks for IMAP, offline, and lets the person choose the account', async () => {
  await connect();
  const asked = Object.fromEntries(microsoft.asked.authorize.at(-1) ?? []);
  assert.equal(asked.client_id, CLIENT.id);
  assert.deepEqual(
    asked.scope?.split(' ').sort(),
    ['email', IMAP_SCOPE, 'offline_access', 'openid', 'profile'].sort(),
  );
  assert.deepEqual(
    [asked.prompt, asked.login_hint, asked.code_challenge_method],
    ['select_account', ADDRESS, 'S256'],
  );
  assert.equal(asked.redirect_uri, `${service.address}/connect/microsoft/callback`);
});

test("takes any tenant's issuer for `common`, and no other issuer", async () => {
  const tid = '72f988bf-86f1-41af-91ab-2d7cd011db47';
  const issuer = (tenant: string) => `https://login.microsoftonline.com/${tenant}/v2.0`;
  microsoft.behave({ claims: { tid, iss: issuer(tid) } });
  assert.equal((await connect()).status, 200);
  for (const claims of [
    { tid, iss: issuer('common') },
    { tid, iss: issuer('{tenantid}') },
    { tid: undefined, iss: issuer(tid) },
    { tid, iss: `https://login.microsoftonline.com.evil.example/${tid}/v2.0` },
    { tid, iss: 'https://accounts.google.com' },
    { aud: 'another-client' },
  ]) {
    microsoft.behave({ claims });
    const { status, text } = await connect();
    assert.equal(status, 400, JSON.stringify(claims));
    assert.match(text, /is not one to this consent/);
  }
});

test('goes by the user name, or the email where that is none', async () => {
  for (const [claims, status] of [
    [{ email: undefined }, 200],
    [{ preferred_username: 'someone.else@outlook.example' }, 200],
    [{ preferred_username: '+49 170 000000' }, 200],
    [{ preferred_username: undefined, email: undefined }, 400],
    [{ preferred_username: 'you@outlook.example', email: 'you@outlook.example' }, 400],
    [{ preferred_username: 'you@outlook.example', email_verified: false }, 400],
  ] as const) {
    microsoft.behave({ claims });
    assert.equal((await connect()).status, status, JSON.stringify(claims));
  }
});

test('takes scopes in any case, and refuses others', async () => {
  for (const [scope, status] of [
    [`openid ${IMAP_SCOPE.toLowerCase()}`, 200],
    ['https://outlook.office.com/SMTP.Send', 400],
  ] as const) {
    microsoft.behave({ answer: { scope } });
    assert.equal((await connect()).status, status, scope);
  }
});

test("says Microsoft's number for what went wrong, and nothing more of its sentence", async () => {
  const description = 'AADSTS7000215: Invalid client secret provided. Trace ID: 0000 <b>';
  microsoft.behave({ status: 401, answer: { error: 'invalid_client', error_description: description } });
  const { status, text } = await connect();
  assert.equal(status, 503);
  assert.match(
    text,
    /&quot;invalid_client&quot; \(AADSTS7000215\)\. .*MICROSOFT_CLIENT_ID and MICROSOFT_CLIENT_SECRET/,
  );
  assert.doesNotMatch(text, /Trace|<b>/);
});
