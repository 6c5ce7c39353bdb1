import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import { after, afterEach, before, describe, test } from 'node:test';
import postgres from 'postgres';
import { createId } from '../../src/core/ids.ts';
import { createBrowser } from '../support/browser.ts';
import { CLIENT, type OAuthProviderServer, startOAuthProvider } from '../support/oauth-provider.ts';
import { isListening, type MailgressProcess, startMailgress } from '../support/process.ts';
import { ADMIN_TOKEN, callApi, startTestService, type TestService } from '../support/service.ts';

const ADDRESS = 'me@example.com';

let google: OAuthProviderServer;
let service: TestService;
let front: Server;
let frontUrl: string;
let mailboxId: string;
/** Bodies of `{kind: "gmail"}`. */
const taken: { kind: string; auth: { type: string; refreshToken?: string } }[] = [];

before(async () => {
  google = await startOAuthProvider('google', ADDRESS);
  service = await startTestService({
    ...google.settings,
    dispatch: false,
    connectSource: async (id) => insertGmailSource(id),
  });
  mailboxId = (await service.api('POST', '/v1/mailboxes', { address: ADDRESS })).body.id;
  // Before the service, so that no Gmail is needed to take a source of its kind.
  front = createServer(async (request, response) => {
    const { method = 'GET', url = '/' } = request;
    const body: unknown = method === 'POST' ? await json(request) : undefined;
    let answer: { status: number; body: unknown };
    if (method === 'POST' && url.endsWith('/sources')) {
      taken.push(body as (typeof taken)[number]);
      answer = { status: 201, body: await insertGmailSource(url.split('/')[3] ?? '') };
    } else answer = await callApi(service.address, method, url, body);
    response
      .writeHead(answer.status, { 'content-type': 'application/json' })
      .end(JSON.stringify(answer.body));
  }).listen(0, '127.0.0.1');
  await once(front, 'listening');
  frontUrl = `http://127.0.0.1:${(front.address() as AddressInfo).port}`;
});
after(async () => {
  front.close();
  await service.dispose();
  await google[Symbol.asyncDispose]();
});
afterEach(async () => {
  google.behave();
  taken.splice(0);
  const { body } = await service.api('GET', `/v1/sources?mailbox=${mailboxId}`);
  for (const { id } of body.data) await service.api('DELETE', `/v1/sources/${id}`);
});

async function insertGmailSource(id: string) {
  const sourceId = createId('src');
  const sql = postgres(service.databaseUrl, { max: 1 });
  await sql`
    INSERT INTO sources (id, mailbox_id, kind, state) VALUES (${sourceId.slice(4)}, ${id.slice(4)}, 'gmail', 'idle')`;
  await sql.end();
  return (await service.api('GET', `/v1/sources/${sourceId}`)).body;
}

/** `source add --kind gmail`, with or without a client of its own. */
function add(args: string[] = [], { hasClient = true } = {}): MailgressProcess {
  const { issuer, tokenUrl, certsUrl } = google.settings.google;
  return startMailgress(['source', 'add', '--mailbox', ADDRESS, '--kind', 'gmail', ...args], {
    MAILGRESS_PUBLIC_URL: frontUrl,
    MAILGRESS_ADMIN_TOKEN: ADMIN_TOKEN,
    GOOGLE_OIDC_ISSUER: issuer,
    GOOGLE_TOKEN_URL: tokenUrl,
    GOOGLE_OIDC_CERTS_URL: certsUrl,
    ...(hasClient && { GOOGLE_CLIENT_ID: CLIENT.id, GOOGLE_CLIENT_SECRET: CLIENT.secret }),
  });
}

/** The link that it tells a person to open. */
async function linkOf(command: MailgressProcess): Promise<string> {
  await command.says('Waiting');
  const [, url = ''] = /^ {2}(http\S+)$/m.exec(command.stderr()) ?? [];
  assert.ok(url, command.stderr());
  return url;
}

describe('with an OAuth client of its own', () => {
  test('asks by way of this machine, and hands the consent to the service', async () => {
    await using command = add(['--json']);
    const link = new URL(await linkOf(command));
    const redirectUri = link.searchParams.get('redirect_uri') ?? '';
    assert.match(redirectUri, /^http:\/\/127\.0\.0\.1:\d+\/$/);
    assert.equal(link.searchParams.get('code_challenge_method'), 'S256');
    assert.equal(link.searchParams.get('login_hint'), ADDRESS);
    // What a browser asks for by itself, and what others may try.
    assert.equal((await fetch(`${redirectUri}favicon.ico`)).status, 404);
    assert.equal((await fetch(`${redirectUri}?code=x&state=guessed`)).status, 404);
    const { response } = await createBrowser().open(link.href);
    assert.match(await response.text(), /^Google has said yes/);
    assert.match(response.headers.get('content-type') ?? '', /^text\/plain/);

    const { code, stdout, stderr } = await command.ended;
    assert.equal(code, 0, stderr);
    const source = JSON.parse(stdout);
    assert.deepEqual([source.kind, source.mailboxId, source.state], ['gmail', mailboxId, 'idle']);
    const [body, ...others] = taken;
    assert.deepEqual(others, []);
    assert.deepEqual([body?.kind, body?.auth.type], ['gmail', 'oauth']);
    const { refreshToken = 'none' } = body?.auth ?? {};
    assert.ok(google.given.includes(refreshToken));
    for (const secret of [refreshToken, CLIENT.secret]) assert.ok(!`${stdout}${stderr}`.includes(secret));
    assert.equal(await isListening(Number(new URL(redirectUri).port)), false);
  });

  test('says why nothing was connected, in the browser and here', async () => {
    for (const [behaviour, words] of [
      [{ refusal: { error: 'access_denied' } }, /Google says "access_denied"/],
      [{ claims: { email: 'you@example.com' } }, /you signed in as you@example\.com/],
      [{ answer: { refresh_token: undefined } }, /without a refresh token/],
    ] as const) {
      google.behave(behaviour);
      await using command = add();
      const { response } = await createBrowser().open(await linkOf(command));
      assert.match(await response.text(), words);
      const { code, stderr, stdout } = await command.ended;
      assert.deepEqual([code, stdout], [65, '']);
      assert.match(stderr, words);
    }
    assert.deepEqual(taken, []);
  });

  test('waits no longer than it is told', async () => {
    await using command = add(['--timeout', '1']);
    const { code, told } = await command.ended;
    assert.equal(code, 69);
    assert.match(told.at(-1) ?? '', /^mailgress: Nobody came back with a consent in 1 s/);
  });

  test('ends at Ctrl-C without a word of its inside', async () => {
    await using command = add();
    await linkOf(command);
    command.kill('SIGINT');
    const { code, told } = await command.ended;
    assert.deepEqual([code, told.at(-1)], [130, 'Nothing was connected.']);
  });
});

describe('without one', () => {
  test('the service asks, and it waits for the source', async () => {
    await using command = add(['--json'], { hasClient: false });
    const link = await linkOf(command);
    assert.ok(link.startsWith(`${service.address}/connect/google?mailbox=${mailboxId}&token=`));
    const { response } = await createBrowser().open(link);
    assert.equal(response.status, 200);
    const { code, stdout, stderr } = await command.ended;
    assert.equal(code, 0, stderr);
    assert.equal(JSON.parse(stdout).kind, 'gmail');
    assert.match(stderr, /GOOGLE_CLIENT_ID is not set here/);
  });

  test('does not wait where the source is there and well', async () => {
    const { id } = await insertGmailSource(mailboxId);
    await using command = add([], { hasClient: false });
    const { code, stdout, stderr } = await command.ended;
    assert.equal(code, 0, stderr);
    assert.match(stdout, new RegExp(`^${id} {2}gmail {2}me@example\\.com {2}idle\\n$`));
    assert.match(stderr, /gives it new credentials/);
  });

  test('waits for one that needs a person to be well again', async () => {
    const { id } = await insertGmailSource(mailboxId);
    const sql = postgres(service.databaseUrl, { max: 1 });
    await sql`UPDATE sources SET state = 'needs_reauth' WHERE id = ${id.slice(4)}`;
    await using command = add(['--json'], { hasClient: false });
    await linkOf(command);
    await sql`UPDATE sources SET state = 'idle' WHERE id = ${id.slice(4)}`;
    await sql.end();
    const { stdout } = await command.ended;
    assert.equal(JSON.parse(stdout).id, id);
  });

  test('gives up in time, and says that the link stays good', async () => {
    await using command = add(['--timeout', '1'], { hasClient: false });
    const { code, told } = await command.ended;
    assert.equal(code, 69);
    assert.match(told.at(-1) ?? '', /Nobody has followed the link yet\. It is good until 2/);
  });
});

test('with --service-account nobody is asked', async () => {
  await using command = add(['--service-account', '--json']);
  const { code, stdout, stderr } = await command.ended;
  assert.deepEqual([code, stderr], [0, '']);
  assert.equal(JSON.parse(stdout).kind, 'gmail');
  assert.deepEqual(taken, [{ kind: 'gmail', auth: { type: 'service-account' } }]);
});

test('a wrong use is told so', async () => {
  for (const [args, words] of [
    [['--timeout', 'soon'], /--timeout soon: must be a whole number of seconds/],
    [['--mailbox', 'nobody@example.com'], /no mailbox nobody@example\.com/],
    [['--kind', 'raw', '--service-account'], /--service-account is for --kind gmail/],
  ] as const) {
    await using command = add([...args]);
    const { code, stderr } = await command.ended;
    assert.ok(code === 64 || code === 65, stderr);
    assert.match(stderr, words);
  }
});
