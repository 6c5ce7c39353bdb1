import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { createKeyring } from '../../src/core/sealed.ts';
import { connectLink, LINK_LIFETIME_MS } from '../../src/http/connect-link.ts';
import { type Browser, createBrowser } from '../support/browser.ts';
import {
  CLIENT,
  GMAIL_SCOPE,
  type OAuthProviderServer,
  startOAuthProvider,
} from '../support/oauth-provider.ts';
import { ADMIN_TOKEN, SECRET_KEY, startTestService, type TestService } from '../support/service.ts';
import { captureLog } from './captured-log.ts';
import { expectProblem } from './problem.ts';

const ADDRESS = 'me@example.com';
const { log, lines } = captureLog();
log.level = 'trace';
const keyring = createKeyring([SECRET_KEY]);

type Connected = { mailboxId: string; provider: string; refreshToken: string; account: string };
const connected: Connected[] = [];

let google: OAuthProviderServer;
let service: TestService;
let mailboxId: `mbx_${string}`;
before(async () => {
  google = await startOAuthProvider('google', ADDRESS);
  service = await startTestService({
    ...google.settings,
    log,
    dispatch: false,
    connectSource: async (id, provider, refreshToken, account) => {
      connected.push({ mailboxId: id, provider, refreshToken, account });
      const { body } = await service.api('POST', `/v1/mailboxes/${id}/sources`, { kind: 'raw' });
      return body.kind === undefined ? undefined : body;
    },
  });
  mailboxId = await newMailbox(ADDRESS);
});
after(async () => {
  await service.dispose();
  await google[Symbol.asyncDispose]();
});
afterEach(() => {
  google.behave();
  connected.splice(0);
});

const newMailbox = async (address: string, tenant = 'default') =>
  (await service.api('POST', '/v1/mailboxes', { address, tenant })).body.id;

async function newLink(id: string = mailboxId): Promise<string> {
  const { status, body } = await service.api('POST', `/v1/mailboxes/${id}/connect`, { provider: 'google' });
  assert.equal(status, 200);
  return body.url;
}

/** From the link to just before the callback. */
async function consentTo(link: string, browser: Browser): Promise<URL> {
  return browser.openUntil(link, `${service.address}/connect/google/callback`);
}

/** Holds that the answer is a page with nothing but words, of this status; answers its text. */
async function expectPage(response: Response, status: number): Promise<string> {
  const text = await response.text();
  assert.equal(response.status, status, text);
  assert.equal(response.headers.get('content-type'), 'text/html; charset=utf-8');
  assert.equal(
    response.headers.get('content-security-policy'),
    "default-src 'none'; style-src 'unsafe-inline'",
  );
  assert.equal(response.headers.get('cache-control'), 'no-store');
  assert.equal(response.headers.get('referrer-policy'), 'no-referrer');
  assert.doesNotMatch(text, /<script|<img|<a |<form|https?:\/\/localhost/i);
  return text;
}

/** A whole consent that leads to nothing, and says so in these words. */
async function expectRefusal(words: RegExp, status = 400): Promise<void> {
  const { response } = await createBrowser().open(await newLink());
  assert.match(await expectPage(response, status), words);
  assert.deepEqual(connected, []);
}

describe('a consent to Google', () => {
  test('goes from the link through the provider to a source, in any browser with cookies', async () => {
    const browser = createBrowser();
    const { response, urls } = await browser.open(await newLink());
    const text = await expectPage(response, 200);
    assert.match(text, /<h1>Connected<\/h1>/);
    assert.match(text, /me@example\.com/);
    assert.deepEqual(
      urls.map(({ origin, pathname }) => `${origin}${pathname}`),
      [
        `${service.address}/connect/google`,
        `${google.settings.google.issuer}/authorize`,
        `${service.address}/connect/google/callback`,
      ],
    );
    const [done] = connected;
    assert.deepEqual([done?.mailboxId, done?.provider, done?.account], [mailboxId, 'google', ADDRESS]);
    assert.ok(google.given.includes(done?.refreshToken ?? ''));
    assert.deepEqual(browser.cookies, [], 'its cookie is taken away');
  });

  test('asks for what Gmail is read with, offline, with PKCE, state and nonce', async () => {
    await createBrowser().open(await newLink());
    const asked = google.asked.authorize.at(-1);
    const { state, nonce, code_challenge: challenge, ...rest } = Object.fromEntries(asked ?? []);
    assert.deepEqual(rest, {
      response_type: 'code',
      client_id: CLIENT.id,
      redirect_uri: `${service.address}/connect/google/callback`,
      scope: `openid email ${GMAIL_SCOPE}`,
      access_type: 'offline',
      prompt: 'consent',
      login_hint: ADDRESS,
      code_challenge_method: 'S256',
    });
    for (const secret of [state, nonce, challenge]) assert.match(secret ?? '', /^[A-Za-z0-9_-]{43}$/);
    const token = google.asked.token.at(-1);
    assert.match(String(token?.code_verifier), /^[A-Za-z0-9_-]{43}$/);
    assert.equal(token?.redirect_uri, `${service.address}/connect/google/callback`);
  });

  test('uses new secrets each time', async () => {
    const browser = createBrowser();
    const link = await newLink();
    for (let n = 0; n < 3; n++) await browser.open(link);
    const asked = google.asked.authorize.slice(-3);
    for (const name of ['state', 'nonce', 'code_challenge']) {
      assert.equal(new Set(asked.map((one) => one.get(name))).size, 3, name);
    }
    assert.equal(connected.length, 3, 'and a link works again, to connect anew');
  });

  test('takes the account of the mailbox, in whatever way it writes itself', async () => {
    for (const [mailbox, account] of [
      ['Some.One@Example.com', 'some.one@example.COM'],
      ['first.last@gmail.com', 'FirstLast@gmail.com'],
      ['firstlast2@googlemail.com', 'first.last2@gmail.com'],
    ]) {
      google.behave({ claims: { email: account } });
      const { response } = await createBrowser().open(await newLink(await newMailbox(mailbox ?? '')));
      await expectPage(response, 200);
      assert.equal(connected.at(-1)?.account, account);
    }
  });

  test('two that are open side by side do not undo each other', async () => {
    const browser = createBrowser();
    const link = await newLink();
    const [first, second] = [await consentTo(link, browser), await consentTo(link, browser)];
    for (const url of [first, second]) await expectPage((await browser.open(url.href)).response, 200);
    assert.equal(connected.length, 2);
  });

  test('of a mailbox that was deleted meanwhile says so', async () => {
    const id = await newMailbox('short-lived@example.com');
    const browser = createBrowser();
    const link = await newLink(id);
    google.behave({ claims: { email: 'short-lived@example.com' } });
    const callback = await consentTo(link, browser);
    await service.api('DELETE', `/v1/mailboxes/${id}`);
    assert.match(await expectPage((await browser.open(callback.href)).response, 404), /no longer there/);
    assert.match(await expectPage((await browser.open(link)).response, 404), /no longer there/);
  });
});

describe('a link', () => {
  test('is made for a mailbox, with a key, and is good for a week', async () => {
    const path = `/v1/mailboxes/${mailboxId}/connect`;
    const { status, body } = await service.api('POST', path, { provider: 'google' });
    assert.equal(status, 200);
    assert.deepEqual(Object.keys(body).sort(), ['expiresAt', 'url']);
    assert.ok(body.url.startsWith(`${service.address}/connect/google?mailbox=${mailboxId}&token=`));
    const leftMs = Date.parse(body.expiresAt) - Date.now();
    assert.ok(leftMs <= LINK_LIFETIME_MS && leftMs > LINK_LIFETIME_MS - 60_000);
    assert.equal((await fetch(`${service.address}${path}`, { method: 'POST' })).status, 401);
    assert.equal((await service.api('POST', path, { provider: 'yahoo' })).body.code, 'bad_request');
    const nowhere = `/v1/mailboxes/mbx_${'0'.repeat(32)}/connect`;
    assert.equal((await service.api('POST', nowhere, { provider: 'google' })).status, 404);
  });

  test('works for its mailbox and provider alone, whole, and until it expires', async () => {
    const other = await newMailbox('other@example.com');
    const publicUrl = service.address;
    const ours = { keyring, provider: 'google', mailboxId, publicUrl } as const;
    const good = new URL(connectLink(ours).url);
    const token = good.searchParams.get('token') ?? '';
    const changed = (at: number) =>
      token.slice(0, at) + (token[at] === 'A' ? 'B' : 'A') + token.slice(at + 1);
    const begin = (query: Record<string, string>) =>
      `${publicUrl}/connect/google?${new URLSearchParams(query)}`;
    const bad = {
      'no mailbox, no token': `${publicUrl}/connect/google`,
      'no token': begin({ mailbox: mailboxId }),
      'empty token': begin({ mailbox: mailboxId, token: '' }),
      'token of another mailbox': begin({ mailbox: other, token }),
      'token of another provider': connectLink({ ...ours, provider: 'microsoft' }).url.replace(
        '/microsoft',
        '/google',
      ),
      'token of another key': connectLink({ ...ours, keyring: createKeyring(['x'.repeat(32)]) }).url,
      expired: connectLink(ours, new Date(Date.now() - LINK_LIFETIME_MS - 1)).url,
      cut: begin({ mailbox: mailboxId, token: token.slice(0, -4) }),
      'no base64': begin({ mailbox: mailboxId, token: '<script>alert(1)</script>' }),
      'a mailbox that is none': begin({ mailbox: '../../etc', token }),
      'a mailbox twice': `${begin({ mailbox: other })}&mailbox=${mailboxId}&token=${token}`,
      ...Object.fromEntries(
        [0, 5, 20, 40, token.length - 3].map((at) => [
          `changed at ${at}`,
          begin({ mailbox: mailboxId, token: changed(at) }),
        ]),
      ),
    };
    for (const [name, url] of Object.entries(bad)) {
      const { response, urls } = await createBrowser().open(url);
      assert.equal(urls.length, 1, name);
      assert.deepEqual(response.headers.getSetCookie(), [], name);
      assert.match(await expectPage(response, 403), /does not work/, name);
    }
    assert.equal((await createBrowser().open(good.href)).response.status, 200);
  });

  test('needs no token where a key comes with it', async () => {
    const url = `${service.address}/connect/google?mailbox=${mailboxId}`;
    const withKey = (key: string) => ({ headers: { authorization: `Bearer ${key}` } });
    assert.equal((await createBrowser().open(url, withKey(ADMIN_TOKEN))).response.status, 200);
    await expectPage((await createBrowser().open(url, withKey(`${ADMIN_TOKEN}x`))).response, 403);
  });

  test('leads to the provider and back here, whatever is put into it', async () => {
    const evil = 'https://evil.example/';
    const link = await newLink();
    const extra = ['redirect_uri', 'redirect', 'next', 'return_to', 'url', 'state'].map(
      (name) => `&${name}=${evil}`,
    );
    const response = await fetch(`${link}${extra.join('')}`, {
      redirect: 'manual',
      headers: {
        'x-forwarded-host': 'evil.example',
        'x-forwarded-proto': 'https',
        forwarded: 'host=evil.example',
      },
    });
    assert.equal(response.status, 302);
    const location = response.headers.get('location') ?? '';
    assert.ok(location.startsWith(`${google.settings.google.issuer}/authorize?`));
    assert.doesNotMatch(location, /evil/);
    assert.equal(response.headers.get('referrer-policy'), 'no-referrer');
    assert.equal(response.headers.get('cache-control'), 'no-store');
    const back = await createBrowser().open(
      `${service.address}/connect/google/callback?redirect_uri=${evil}&state=${evil}`,
    );
    assert.equal(back.urls.length, 1);
    assert.doesNotMatch(await expectPage(back.response, 400), /evil/);
  });
});

describe('the callback', () => {
  const notOurs = /does not belong to a question that was asked in this browser/;

  test('takes no other state, and none without its cookie', async () => {
    const browser = createBrowser();
    const callback = await consentTo(await newLink(), browser);
    const state = callback.searchParams.get('state') ?? '';
    const withState = (value: string | undefined) => {
      const url = new URL(callback);
      if (value === undefined) url.searchParams.delete('state');
      else url.searchParams.set('state', value);
      return url.href;
    };
    for (const other of [undefined, '', 'x', `${state}x`, state.slice(1), state.toUpperCase(), '__proto__']) {
      const { response } = await browser.open(withState(other));
      assert.match(await expectPage(response, 400), notOurs, other);
    }
    assert.match(await expectPage((await createBrowser().open(callback.href)).response, 400), notOurs);
    assert.match(
      await expectPage(
        (await createBrowser().open(`${service.address}/connect/google/callback`)).response,
        400,
      ),
      notOurs,
    );
    assert.deepEqual(connected, []);
    assert.equal((await browser.open(callback.href)).response.status, 200, 'its own is taken after all that');
  });

  test('takes no cookie that was changed, is too old, or is of another attempt or provider', async () => {
    const browser = createBrowser();
    const callback = await consentTo(await newLink(), browser);
    const [cookie] = browser.cookies;
    assert.ok(cookie);
    const { value } = cookie;
    const state = callback.searchParams.get('state') ?? '';
    const attempt = {
      state,
      verifier: 'v'.repeat(43),
      nonce: 'n',
      mailboxId,
      expiresAtMs: Date.now() + 60_000,
    };
    const seal = (content: object, context = 'connect-attempt/google') =>
      keyring.seal(JSON.stringify(content), context).toString('base64url');
    const bad = {
      empty: '',
      'no base64': '%%%',
      changed: `${value.slice(0, 60)}${value[60] === 'A' ? 'B' : 'A'}${value.slice(61)}`,
      cut: value.slice(0, -8),
      expired: seal({ ...attempt, expiresAtMs: Date.now() - 1 }),
      'of another state': seal({ ...attempt, state: 'another' }),
      'of another provider': seal(attempt, 'connect-attempt/microsoft'),
      'a link token': new URL(await newLink()).searchParams.get('token') ?? '',
    };
    for (const [name, text] of Object.entries(bad)) {
      const response = await fetch(callback, { headers: { cookie: `${cookie.name}=${text}` } });
      assert.match(await expectPage(response, 400), notOurs, name);
    }
    assert.deepEqual(connected, []);
    assert.equal(
      google.asked.token.some(({ code }) => code === callback.searchParams.get('code')),
      false,
    );
  });

  test('works once: the cookie goes, and the provider takes the code once', async () => {
    const browser = createBrowser();
    const callback = await consentTo(await newLink(), browser);
    const kept = browser.cookies.map(({ name, value }) => `${name}=${value}`).join('; ');
    await expectPage((await browser.open(callback.href)).response, 200);
    assert.match(await expectPage((await browser.open(callback.href)).response, 400), notOurs);
    await expectPage(await fetch(callback, { headers: { cookie: kept } }), 400);
    assert.equal(connected.length, 1);
  });

  test('has a cookie that scripts cannot read and other paths do not get', async () => {
    const response = await fetch(await newLink(), { redirect: 'manual' });
    const [cookie = '', ...others] = response.headers.getSetCookie();
    assert.deepEqual(others, []);
    assert.match(
      cookie,
      /^mailgress_connect_[0-9a-f]{16}=[\w-]+; Max-Age=600; Path=\/connect\/google\/callback; HttpOnly; SameSite=Lax$/,
    );
    const location = new URL(response.headers.get('location') ?? '');
    for (const name of ['state', 'nonce'])
      assert.ok(!cookie.includes(location.searchParams.get(name) ?? 'x'));
  });

  test('is Secure, and below the path of the public URL, where that has https', async () => {
    await using secure = {
      ...(await startTestService({
        ...google.settings,
        databaseUrl: service.databaseUrl,
        dispatch: false,
        publicUrl: 'https://mail.example.com/base',
      })),
      async [Symbol.asyncDispose]() {
        await this.stop();
      },
    };
    const { body } = await secure.api('POST', `/v1/mailboxes/${mailboxId}/connect`, { provider: 'google' });
    assert.ok(body.url.startsWith('https://mail.example.com/base/connect/google?'));
    const response = await fetch(body.url.replace('https://mail.example.com/base', secure.address), {
      redirect: 'manual',
    });
    const [cookie = ''] = response.headers.getSetCookie();
    assert.match(cookie, /; Path=\/base\/connect\/google\/callback; HttpOnly; Secure; SameSite=Lax$/);
    const asked = new URL(response.headers.get('location') ?? '').searchParams;
    assert.equal(asked.get('redirect_uri'), 'https://mail.example.com/base/connect/google/callback');
  });
});

describe('nothing is connected, and the page says what to do,', () => {
  test('without a refresh token', async () => {
    google.behave({ answer: { refresh_token: undefined } });
    await expectRefusal(/without a refresh token.*myaccount\.google\.com/);
  });

  test('without the right to read mail, which a person can untick', async () => {
    for (const scope of [
      'openid email',
      '',
      `${GMAIL_SCOPE}.metadata`,
      'https://www.googleapis.com/auth/gmail.metadata',
    ]) {
      google.behave({ answer: { scope } });
      await expectRefusal(/leave &quot;View your email messages and settings&quot; ticked/);
    }
    google.behave({ answer: { scope: undefined } });
    await expectPage((await createBrowser().open(await newLink())).response, 200);
  });

  test('for another account', async () => {
    for (const email of ['you@example.com', 'me@example.com.evil.example', 'm.e@example.com']) {
      google.behave({ claims: { email } });
      await expectRefusal(new RegExp(`for the mailbox me@example\\.com, and you signed in as ${email}\\.`));
    }
  });

  test('for an address that is not verified, or not told', async () => {
    for (const claims of [
      { email_verified: false },
      { email_verified: undefined },
      { email_verified: 'false' },
      { email: undefined },
    ]) {
      google.behave({ claims });
      await expectRefusal(/names no verified address/);
    }
  });

  test('for an id token of another issuer, client or request, or one that has expired', async () => {
    const past = Math.floor(Date.now() / 1000) - 3600;
    for (const claims of [
      { iss: 'https://accounts.google.com.evil.example' },
      { aud: 'another-client' },
      { nonce: 'another' },
      { nonce: undefined },
      { exp: past },
      { sub: undefined },
    ]) {
      google.behave({ claims });
      await expectRefusal(/is not one to this consent/);
    }
  });

  test("for an id token with a signature that is not the provider's, or none", async () => {
    const forge = (header: object, claims: object, signature: string) =>
      [header, claims]
        .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
        .concat(signature)
        .join('.');
    for (const [alg, signature] of [
      ['none', ''],
      ['RS256', 'AAAA'],
      ['HS256', 'AAAA'],
    ]) {
      const browser = createBrowser();
      const callback = await consentTo(await newLink(), browser);
      const seconds = Math.floor(Date.now() / 1000);
      const claims = {
        iss: google.settings.google.issuer,
        aud: CLIENT.id,
        sub: '1',
        iat: seconds,
        exp: seconds + 60,
        nonce: google.asked.authorize.at(-1)?.get('nonce'),
        email: ADDRESS,
        email_verified: true,
      };
      google.behave({ answer: { id_token: forge({ alg }, claims, signature ?? '') } });
      assert.match(
        await expectPage((await browser.open(callback.href)).response, 400),
        /is not one to this consent/,
        alg,
      );
    }
    assert.deepEqual(connected, []);
  });

  test('when the person says no, or an administrator does', async () => {
    google.behave({ refusal: { error: 'access_denied' } });
    await expectRefusal(/Google says &quot;access_denied&quot;.*open the link again and allow the access/);
    google.behave({ refusal: { error: 'admin_policy_enforced' } });
    await expectRefusal(new RegExp(`administrator.*has to allow the client ${CLIENT.id}`));
  });

  test('when the client is not as the provider has it', async () => {
    for (const [status, error, words] of [
      [401, 'invalid_client', /check GOOGLE_CLIENT_ID and GOOGLE_CLIENT_SECRET/],
      [
        400,
        'redirect_uri_mismatch',
        /register http:\/\/127\.0\.0\.1:\d+\/connect\/google\/callback as a redirect URI/,
      ],
      [401, 'unauthorized_client', /check GOOGLE_CLIENT_ID and GOOGLE_CLIENT_SECRET/],
    ] as const) {
      google.behave({ status, answer: { error, error_description: 'The OAuth client was not found.' } });
      await expectRefusal(words, 503);
    }
  });

  test('when the code is no longer good, or the provider is not well', async () => {
    google.behave({
      status: 400,
      answer: { error: 'invalid_grant', error_description: 'Malformed auth code.' },
    });
    await expectRefusal(/took too long.*Open the link again/);
    google.behave({ status: 500, answer: { error: 'server_error' } });
    await expectRefusal(/Google does not answer/, 503);
    google.behave({ status: 400, answer: { error: 'something_new' } });
    await expectRefusal(/Google says &quot;something_new&quot;/);
    google.behave({ refusal: { error: 'temporarily_unavailable' } });
    await expectRefusal(/Open the link again in a while/, 503);
  });

  test('when the callback has neither code nor error, or has them twice', async () => {
    for (const change of [
      (url: URL) => url.searchParams.delete('code'),
      (url: URL) => url.searchParams.append('code', 'another'),
      (url: URL) => url.searchParams.append('iss', 'https://evil.example'),
      (url: URL) => url.searchParams.append('id_token', 'x.y.z'),
    ]) {
      const browser = createBrowser();
      const callback = await consentTo(await newLink(), browser);
      change(callback);
      await expectPage((await browser.open(callback.href)).response, 400);
    }
    assert.deepEqual(connected, []);
  });

  test('and what the provider or an address says is text, not HTML', async () => {
    const html = '<img src=x onerror=alert(1)>"\'&';
    google.behave({ refusal: { error: html, error_description: html } });
    await expectRefusal(/&lt;img src=x onerror=alert\(1\)&gt;&quot;&#39;&amp;/);
    google.behave({ claims: { email: `${html}@example.com` } });
    await expectRefusal(/&lt;img src=x/);
    google.behave({ refusal: { error: 'x'.repeat(5000) } });
    await expectRefusal(/"?x{60}&quot;/);
  });
});

test('a service without an OAuth client says which variables to set', async () => {
  const { google: none } = (await import('../../src/config.ts')).readConfig({});
  const bare = await startTestService({ google: none, databaseUrl: service.databaseUrl, dispatch: false });
  try {
    for (const [provider, variables] of [
      ['google', /GOOGLE_CLIENT_ID and GOOGLE_CLIENT_SECRET/],
      ['microsoft', /MICROSOFT_CLIENT_ID and MICROSOFT_CLIENT_SECRET/],
    ] as const) {
      const response = await fetch(`${bare.address}/v1/mailboxes/${mailboxId}/connect`, {
        method: 'POST',
        headers: { authorization: `Bearer ${ADMIN_TOKEN}`, 'content-type': 'application/json' },
        body: JSON.stringify({ provider }),
      });
      assert.match((await expectProblem(response, 503, 'oauth_not_configured')).detail, variables);
      const { url } = connectLink({ keyring, provider, mailboxId, publicUrl: bare.address });
      assert.match(await expectPage(await fetch(url), 503), variables);
    }
  } finally {
    await bare.stop();
  }
});

test('a provider that is out of reach is told, and asked again at the next consent', async () => {
  const dead = { ...google.settings.google, issuer: 'http://127.0.0.1:9' };
  const lonely = await startTestService({ google: dead, databaseUrl: service.databaseUrl, dispatch: false });
  try {
    const { url } = connectLink({ keyring, provider: 'google', mailboxId, publicUrl: lonely.address });
    for (let n = 0; n < 2; n++)
      assert.match(await expectPage(await fetch(url), 503), /cannot be asked for consent now/);
  } finally {
    await lonely.stop();
  }
});

test('no code, token, state, cookie or client secret was logged by all this', () => {
  const logged = lines.map((line) => JSON.stringify(line)).join('\n');
  assert.ok(lines.length > 100 && logged.includes('/connect/google/callback'));
  const states = google.asked.authorize.flatMap((asked) => [asked.get('state'), asked.get('nonce')]);
  const verifiers = google.asked.token.map((asked) => String(asked.code_verifier));
  const secrets = [...google.given, ...states, ...verifiers, CLIENT.secret, SECRET_KEY, ADMIN_TOKEN];
  assert.ok(secrets.length > 100);
  for (const secret of secrets.filter((one) => one)) assert.ok(!logged.includes(secret ?? ''), secret ?? '');
  assert.doesNotMatch(logged, /token=|code=|mailgress_connect_/);
  assert.ok(
    lines.every(({ level }) => level < 50),
    'and nothing was a fault of ours',
  );
});
