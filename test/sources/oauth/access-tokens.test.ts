import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { after, test } from 'node:test';
import { importSPKI, jwtVerify } from 'jose';
import { createAccessTokens, type Grant, GrantError } from '../../../src/sources/oauth/access-tokens.ts';

/** What the token endpoint was asked, in order, and what it answers. */
const asked: URLSearchParams[] = [];
let answer: (response: ServerResponse, nth: number) => void = () => {};
const server = createServer(async (request, response) => {
  asked.push(new URLSearchParams(await text(request)));
  answer(response, asked.length);
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');
after(() => {
  server.closeAllConnections();
  server.close();
});
const address = server.address();
const tokenUrl = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}/token`;

const GRANT: Grant = {
  kind: 'refresh-token',
  refreshToken: 'the-refresh-token',
  client: { id: 'the-client', secret: 'the-secret' },
};

function answerJson(status: number, bodyOf: (nth: number) => unknown): void {
  asked.length = 0;
  answer = (response, nth) => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(bodyOf(nth)));
  };
}

const tokenOf = (nth: number) => ({ access_token: `token-${nth}`, expires_in: 3600 });

test('a token is had once for all who ask, and again a minute before it ends', async () => {
  answerJson(200, tokenOf);
  let nowMs = 0;
  const tokens = createAccessTokens(tokenUrl, GRANT, { nowMs: () => nowMs });
  const all = await Promise.all(Array.from({ length: 50 }, () => tokens.get()));
  assert.deepEqual([...new Set(all)], ['token-1']);
  nowMs = 3_539_999;
  assert.equal(await tokens.get(), 'token-1');
  assert.equal(asked.length, 1);
  nowMs = 3_540_000;
  assert.equal(await tokens.get(), 'token-2');
  assert.deepEqual(Object.fromEntries(asked[0] ?? []), {
    grant_type: 'refresh_token',
    refresh_token: 'the-refresh-token',
    client_id: 'the-client',
    client_secret: 'the-secret',
  });
});

test('a token that was refused is had anew, and many who say so cost one', async () => {
  answerJson(200, tokenOf);
  const tokens = createAccessTokens(tokenUrl, GRANT);
  const first = await tokens.get();
  const again = await Promise.all(
    Array.from({ length: 10 }, () => {
      tokens.forget(first);
      return tokens.get();
    }),
  );
  assert.deepEqual([...new Set(again)], ['token-2']);
  // Said late, of a token that is not the current one.
  tokens.forget(first);
  assert.equal(await tokens.get(), 'token-2');
});

test('who gives up leaves the request to those who wait', async () => {
  answerJson(200, tokenOf);
  const tokens = createAccessTokens(tokenUrl, GRANT);
  const giveUp = new AbortController();
  const [gone, stays] = [tokens.get(giveUp.signal), tokens.get()];
  giveUp.abort(new Error('given up'));
  await assert.rejects(gone, /given up/);
  assert.equal(await stays, 'token-1');
  assert.equal(asked.length, 1);
});

const REFUSALS: [string, number, unknown, string, RegExp][] = [
  [
    'a consent that is gone',
    400,
    { error: 'invalid_grant', error_description: 'Token has been expired or revoked.' },
    'consent_gone',
    /invalid_grant: Token has been expired or revoked/,
  ],
  ['a client that is unknown', 401, { error: 'invalid_client' }, 'not_allowed', /invalid_client/],
  ['a limit', 429, { error: 'rate_limit' }, 'unavailable', /429/],
  ['a fault of the server', 503, { error: 'internal_failure' }, 'unavailable', /503/],
  ['no words', 400, {}, 'unavailable', /400/],
  ['an answer without a token', 200, { expires_in: 3600 }, 'unavailable', /200/],
];

for (const [name, status, body, kind, says] of REFUSALS) {
  test(`${name} is ${kind}, and not remembered`, async () => {
    answerJson(status, () => body);
    const tokens = createAccessTokens(tokenUrl, GRANT);
    await assert.rejects(tokens.get(), (error: unknown) => {
      assert.ok(error instanceof GrantError);
      assert.equal(error.kind, kind);
      assert.match(error.message, says);
      assert.doesNotMatch(error.message, /the-refresh-token|the-secret/);
      return true;
    });
    answerJson(200, tokenOf);
    assert.equal(await tokens.get(), 'token-1');
  });
}

test('a redirect is not followed with the secrets', async () => {
  asked.length = 0;
  answer = (response) => response.writeHead(307, { location: tokenUrl }).end();
  await assert.rejects(createAccessTokens(tokenUrl, GRANT).get(), { kind: 'unavailable' });
  assert.equal(asked.length, 1);
});

test('an endpoint that is not there is unavailable', async () => {
  const tokens = createAccessTokens('http://127.0.0.1:1/token', GRANT);
  await assert.rejects(tokens.get(), { kind: 'unavailable', message: 'the token endpoint does not answer' });
});

test('a service account asks in the name of its subject', async () => {
  answerJson(200, tokenOf);
  const pair = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  const grant: Grant = {
    kind: 'service-account',
    email: 'reader@test-project.iam.gserviceaccount.com',
    privateKey: pair.privateKey,
    subject: 'ada@example.com',
    scope: 'https://www.googleapis.com/auth/gmail.readonly',
  };
  assert.equal(await createAccessTokens(tokenUrl, grant).get(), 'token-1');
  const [form] = asked;
  assert.equal(form?.get('grant_type'), 'urn:ietf:params:oauth:grant-type:jwt-bearer');
  const { payload } = await jwtVerify(
    form?.get('assertion') ?? '',
    await importSPKI(pair.publicKey, 'RS256'),
    {
      issuer: grant.email,
      audience: tokenUrl,
      subject: 'ada@example.com',
    },
  );
  assert.equal(payload.scope, grant.scope);
  assert.equal((payload.exp ?? 0) - (payload.iat ?? 0), 3600);

  // Of a service account it says that a setting is wrong: no person can consent.
  answerJson(400, () => ({ error: 'invalid_grant' }));
  await assert.rejects(createAccessTokens(tokenUrl, grant).get(), { kind: 'not_allowed' });
});

test('a key that is none is told of without its words', async () => {
  const grant: Grant = {
    kind: 'service-account',
    email: 'reader@example.com',
    privateKey: 'not-a-key-but-secret',
    subject: 'ada@example.com',
    scope: 's',
  };
  await assert.rejects(createAccessTokens(tokenUrl, grant).get(), (error: Error) => {
    assert.match(error.message, /GOOGLE_SERVICE_ACCOUNT_JSON: private_key/);
    assert.ok(!`${error.stack} ${error.cause}`.includes('not-a-key-but-secret'));
    return true;
  });
});
