import assert from 'node:assert/strict';
import {
  createHmac,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type JsonWebKey,
  type KeyObject,
  sign,
} from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import postgres, { type Sql } from 'postgres';
import type { Id } from '../../src/core/ids.ts';
import { addGmailSource, readHint } from '../support/gmail-source.ts';
import { AUDIENCE, type PushTokens, SERVICE_ACCOUNT, startPushTokens } from '../support/push-tokens.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { captureLog } from './captured-log.ts';
import { expectProblem } from './problem.ts';
import { openRawConnection, requestHead } from './raw-connection.ts';

const ADDRESS = 'watched@example.com';
const BODY = JSON.stringify({ emailAddress: ADDRESS, historyId: '1000' });

let google: PushTokens;
let service: TestService;
let sql: Sql;
let source: Id<'src'>;
const { log, lines } = captureLog();
before(async () => {
  google = await startPushTokens();
  service = await startTestService({ pubsub: google.options, log });
  sql = postgres(service.databaseUrl, { max: 1 });
  source = await addGmailSource(sql, ADDRESS);
});
after(async () => {
  await sql.end();
  await service.dispose();
  await google[Symbol.asyncDispose]();
});

const post = (authorization: string | undefined, body = BODY) =>
  fetch(`${service.address}/v1/ingest/pubsub`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(authorization !== undefined && { authorization }) },
    body,
  });
const bearer = (token: string) => `Bearer ${token}`;
const nowS = () => Math.floor(Date.now() / 1000);
const base64url = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A token with this header over the claims of a right one, signed by `seal`. */
async function resign(header: unknown, seal: (text: string) => string): Promise<string> {
  const [, claims] = (await google.token()).split('.');
  const text = `${base64url(header)}.${claims}`;
  return `${text}.${seal(text)}`;
}

function publishedKey() {
  const [key] = google.server.issuer.keys.toJSON();
  assert.ok(key);
  return { kid: key.kid, publicKey: createPublicKey({ key: key as JsonWebKey, format: 'jwk' }) };
}

function hmacWith(secret: string | Buffer) {
  return resign({ alg: 'HS256', kid: publishedKey().kid }, (text) =>
    createHmac('sha256', secret).update(text).digest('base64url'),
  );
}

/** A right token with another of its three parts. */
async function withPart(at: 0 | 1 | 2, change: (part: string) => string): Promise<string> {
  const parts = (await google.token()).split('.');
  parts[at] = change(parts[at] ?? '');
  return parts.join('.');
}

const changedClaims = (change: object) => (part: string) =>
  base64url({ ...JSON.parse(Buffer.from(part, 'base64url').toString()), ...change });

const stranger = generateKeyPairSync('rsa', { modulusLength: 2048 });
const signBy = (key: KeyObject, alg: 'sha256' | 'sha512' = 'sha256') => {
  return (text: string) => sign(alg, Buffer.from(text), key).toString('base64url');
};

/** Signed by the right key, under a header that the mock server would not write. */
async function signedUnder(header: object, alg?: 'sha512'): Promise<string> {
  const { kid } = publishedKey();
  const key = createPrivateKey({ key: google.server.issuer.keys.get(kid) as JsonWebKey, format: 'jwk' });
  return bearer(await resign({ alg: 'RS256', kid, ...header }, signBy(key, alg)));
}

/** What stands in the Authorization header. */
const refused: Record<string, () => Promise<string | undefined> | string | undefined> = {
  none: () => undefined,
  'an empty header': () => '',
  'a scheme without a token': () => 'Bearer',
  'a token without a scheme': () => google.token(),
  'another scheme': async () => `Basic ${await google.token()}`,
  'user and password': () => `Basic ${Buffer.from('a:b').toString('base64')}`,
  'two schemes': async () => `Basic YTpi, Bearer ${await google.token()}`,
  'two tokens': async () => `Bearer ${await google.token()}, Bearer ${await google.token()}`,
  'a token and a word': async () => `${bearer(await google.token())} again`,
  'no token': () => bearer('token'),
  'three empty parts': () => bearer('..'),
  'two parts': async () => bearer((await google.token()).split('.').slice(0, 2).join('.')),
  'four parts': async () => bearer(`${await google.token()}.AAAA`),
  'five parts, as if encrypted': async () => bearer(`${await google.token()}.AAAA.AAAA`),
  'a token cut by one character': async () => bearer((await google.token()).slice(0, -1)),
  'half a token': async () => bearer((await google.token()).slice(0, 400)),
  'a token without its signature': async () => bearer(await withPart(2, () => '')),
  'a token of 8 kB': async () => bearer(await google.token({ padding: 'a'.repeat(8192) })),
  'the admin key': () => bearer('test-admin-token-of-good-length'),

  'another audience': async () => bearer(await google.token({ aud: 'https://other.example/' })),
  'an audience longer by a slash': async () => bearer(await google.token({ aud: `${AUDIENCE}/` })),
  'several audiences': async () => bearer(await google.token({ aud: ['https://other.example/', AUDIENCE] })),
  'no audience': async () => bearer(await google.token({ aud: undefined })),
  'another issuer': async () => bearer(await google.token({ iss: 'https://accounts.example.com' })),
  'an issuer that begins alike': async () =>
    bearer(await google.token({ iss: `${google.options.issuer}.example.com` })),
  'several issuers': async () => bearer(await google.token({ iss: [google.options.issuer] })),
  'no issuer': async () => bearer(await google.token({ iss: undefined })),
  'the account of another project': async () =>
    bearer(await google.token({ email: 'pusher@another-project.iam.gserviceaccount.com' })),
  "another project's valid token": async () =>
    bearer(
      await google.token({
        aud: 'https://their.example/push',
        email: 'pusher@another-project.iam.gserviceaccount.com',
      }),
    ),
  'an account in other letters': async () =>
    bearer(await google.token({ email: SERVICE_ACCOUNT.toUpperCase() })),
  'several accounts': async () => bearer(await google.token({ email: [SERVICE_ACCOUNT] })),
  'no account': async () => bearer(await google.token({ email: undefined })),
  'an account that is not verified': async () => bearer(await google.token({ email_verified: false })),
  'an account verified in words': async () => bearer(await google.token({ email_verified: 'true' })),
  'an account without a word of it': async () => bearer(await google.token({ email_verified: undefined })),
  expired: async () => bearer(await google.token({ exp: nowS() - 32 })),
  'expired long ago': async () => bearer(await google.token({ iat: 1, nbf: 1, exp: 3601 })),
  'never to expire': async () => bearer(await google.token({ exp: undefined })),
  'to expire in words': async () => bearer(await google.token({ exp: String(nowS() + 3600) })),
  'not yet valid': async () => bearer(await google.token({ nbf: nowS() + 40 })),
  'not yet issued': async () => bearer(await google.token({ iat: nowS() + 40 })),

  'changed claims': async () => bearer(await withPart(1, changedClaims({ padding: 1 }))),
  'a changed header': async () =>
    bearer(await withPart(0, () => base64url({ alg: 'RS256', kid: publishedKey().kid, typ: 'JWT', x: 1 }))),
  'alg none': async () => bearer(await resign({ alg: 'none' }, () => '')),
  'alg none, with a signature': async () => bearer(await withPart(0, () => base64url({ alg: 'none' }))),
  'alg NONE and a known key': async () =>
    bearer(await resign({ alg: 'NONE', kid: publishedKey().kid }, () => '')),
  'HS256 with the public key as PEM': async () =>
    bearer(await hmacWith(publishedKey().publicKey.export({ format: 'pem', type: 'spki' }))),
  'HS256 with the public key as DER': async () =>
    bearer(await hmacWith(publishedKey().publicKey.export({ format: 'der', type: 'spki' }))),
  'HS256 with the public key as JWK': async () =>
    bearer(await hmacWith(JSON.stringify(google.server.issuer.keys.toJSON()[0]))),
  'HS256 with nothing': async () => bearer(await hmacWith('')),
  'RS512 by the right key': () => signedUnder({ alg: 'RS512' }, 'sha512'),
  "a stranger's key under a known id": async () =>
    bearer(await resign({ alg: 'RS256', kid: publishedKey().kid }, signBy(stranger.privateKey))),
  'a key brought along': async () =>
    bearer(
      await resign(
        { alg: 'RS256', kid: publishedKey().kid, jwk: stranger.publicKey.export({ format: 'jwk' }) },
        signBy(stranger.privateKey),
      ),
    ),
  'an address for the key': async () =>
    bearer(
      await resign(
        { alg: 'RS256', kid: 'mine', jku: 'https://evil.example/jwks' },
        signBy(stranger.privateKey),
      ),
    ),
  'an unknown key': async () => bearer(await google.token({}, { kid: 'unknown' })),
  'a key that is not named': async () => bearer(await google.token({}, { kid: undefined })),
  'a demand that nobody knows': () => signedUnder({ crit: ['x'], x: 1 }),
  'claims that are not encoded': () => signedUnder({ crit: ['b64'], b64: false }),
};

describe('refuses, always with the very same answer,', () => {
  const answers: Record<string, unknown> = {};
  for (const [name, authorization] of Object.entries(refused)) {
    test(name, async () => {
      const response = await post(await authorization());
      const headers = [...response.headers].filter(([key]) => key !== 'x-request-id' && key !== 'date');
      answers[name] = { headers, problem: await expectProblem(response, 401, 'unauthorized') };
    });
  }

  test('two headers, the first of them right', async () => {
    const connection = await openRawConnection(service.address);
    const token = await google.token();
    const headers = { 'content-length': String(BODY.length), authorization: bearer(token) };
    const head = requestHead('POST', `${service.address}/v1/ingest/pubsub`, headers);
    await connection.write(head.replace('\r\n\r\n', `\r\nAuthorization: Basic YTpi\r\n\r\n${BODY}`));
    assert.equal((await connection.answer()).status, 401);
  });

  test('a body that is none, before it looks at it', async () => {
    for (const body of ['', 'hello', '{"message": 1}']) {
      await expectProblem(await post(undefined, body), 401, 'unauthorized');
    }
  });

  test('and stores nothing', async () => {
    assert.equal(Object.keys(answers).length, Object.keys(refused).length);
    for (const [name, answer] of Object.entries(answers)) assert.deepEqual(answer, answers.none, name);
    assert.deepEqual(await readHint(sql, source), { historyId: null, at: null, lagLooks: 0 });
  });

  test('and tells the log why, without token, address or claim', () => {
    const reasons = lines.filter(({ msg }) => msg === 'push refused').map(({ reason }) => String(reason));
    assert.ok(reasons.length >= Object.keys(refused).length);
    for (const word of ['aud', 'email', 'email_verified', 'exp', 'signature']) {
      assert.ok(
        reasons.some((reason) => reason.includes(word)),
        word,
      );
    }
    const all = JSON.stringify(lines);
    for (const secret of ['eyJ', ADDRESS, SERVICE_ACCOUNT, 'another-project', AUDIENCE]) {
      assert.ok(!all.includes(secret), secret);
    }
  });
});

test('a token of 100 kB is more than the server takes as headers', async () => {
  const response = await post(bearer(await google.token({ padding: 'a'.repeat(75_000) })));
  assert.equal(response.status, 431);
  assert.equal((await readHint(sql, source)).at, null);
});

describe('takes', () => {
  const taken: Record<string, () => Promise<string>> = {
    'a token that was signed here': () => signedUnder({}),
    'a token of Google': async () => bearer(await google.token()),
    'an issuer without its scheme': async () =>
      bearer(await google.token({ iss: google.options.issuer.replace('http://', '') })),
    'a scheme in other letters': async () => `bearer ${await google.token()}`,
    'a token that has just expired': async () => bearer(await google.token({ exp: nowS() - 20 })),
    'a token of a clock that is ahead': async () =>
      bearer(await google.token({ iat: nowS() + 20, nbf: nowS() + 20 })),
    'claims that Google may add': async () => bearer(await google.token({ google: { x: [1] } })),
  };
  let historyId = 1000;
  for (const [name, authorization] of Object.entries(taken)) {
    test(name, async () => {
      historyId++;
      const response = await post(
        await authorization(),
        JSON.stringify({ emailAddress: ADDRESS, historyId }),
      );
      assert.equal(response.status, 204, await response.text());
      assert.equal((await readHint(sql, source)).historyId, String(historyId));
    });
  }

  test('the same token again and again', async () => {
    const authorization = bearer(await google.token());
    for (let count = 0; count < 3; count++) assert.equal((await post(authorization)).status, 204);
  });
});
