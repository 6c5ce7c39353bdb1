import assert from 'node:assert/strict';
import { createPrivateKey } from 'node:crypto';
import { after, before, test } from 'node:test';
import { createRemoteJWKSet, jwtVerify, SignJWT } from 'jose';
import { startConsumer } from '../support/consumer.ts';
import {
  cut,
  emptyHistory,
  expired,
  garbage,
  invalidGrant,
  noTopicRights,
  serverError,
  slow,
  tooMany,
  tooManyUntil,
  userRateLimit,
  withoutRaw,
} from '../support/gmail/faults.ts';
import { createPushDriver } from '../support/gmail/push-driver.ts';
import { type GmailWorld, startGmailWorld } from '../support/gmail/world.ts';
import { startPushTokens } from '../support/push-tokens.ts';

/* The Gmail that the tests of the source are held against answers as Google documents. */

const [ANNA, BEN, CLEO, DORA] = [
  'anna@example.com',
  'ben@example.com',
  'cleo@example.com',
  'dora@example.com',
];

let world: GmailWorld;
before(async () => {
  world = await startGmailWorld({ accounts: [ANNA, BEN, CLEO, DORA] });
});
after(() => world.close());

// biome-ignore lint/suspicious/noExplicitAny: answers of many shapes
type Answer = { status: number; headers: Headers; json: any; text: string };

async function token(form: Record<string, string>): Promise<Answer> {
  const client = { client_id: world.client.id, client_secret: world.client.secret };
  return read(
    await fetch(world.tokenUrl, { method: 'POST', body: new URLSearchParams({ ...client, ...form }) }),
  );
}

async function accessToken(account: string): Promise<string> {
  const { json } = await token({ grant_type: 'refresh_token', refresh_token: world.refreshToken(account) });
  return json.access_token;
}

async function gmail(account: string, path: string, body?: object): Promise<Answer> {
  const authorization = `Bearer ${await accessToken(account)}`;
  const post = body && { method: 'POST', body: JSON.stringify(body) };
  return read(
    await fetch(`${world.apiUrl}gmail/v1/users/me/${path}`, { ...post, headers: { authorization } }),
  );
}

async function read(response: Response): Promise<Answer> {
  const body = await response.text();
  const isJson = response.headers.get('content-type')?.includes('json') && body.endsWith('}');
  return {
    status: response.status,
    headers: response.headers,
    json: isJson ? JSON.parse(body) : undefined,
    text: body,
  };
}

test('the profile of a mailbox without mail has a history id, from which the first mail is seen', async () => {
  const { json: profile } = await gmail(ANNA, 'profile');
  assert.equal(profile.emailAddress, ANNA);
  assert.match(profile.historyId, /^\d{21}$/);
  const none = await gmail(ANNA, `history?startHistoryId=${profile.historyId}`);
  assert.deepEqual(none.json, { historyId: profile.historyId });

  const { id, threadId, historyId } = await world.deliver(ANNA, { subject: 'First', labelIds: ['INBOX'] });
  const { json } = await gmail(ANNA, `history?startHistoryId=${profile.historyId}`);
  assert.deepEqual(json, {
    history: [
      {
        id: historyId,
        messages: [{ id, threadId }],
        messagesAdded: [{ message: { id, threadId, labelIds: ['INBOX'] } }],
      },
    ],
    historyId,
  });
  assert.equal((await gmail(ANNA, 'profile')).json.historyId, historyId);

  const { json: message } = await gmail(ANNA, `messages/${id}?format=raw`);
  assert.match(Buffer.from(message.raw, 'base64url').toString(), /^Subject: First\r\n/m);
  assert.deepEqual(message.labelIds, ['INBOX']);
  assert.equal(message.historyId, historyId);
  assert.ok(Math.abs(Date.now() - Number(message.internalDate)) < 60_000);
  const fields = 'historyId,history(id,messagesAdded/message/id)';
  const part = await gmail(ANNA, `history?startHistoryId=${profile.historyId}&fields=${fields}`);
  assert.deepEqual(part.json, {
    history: [{ id: historyId, messagesAdded: [{ message: { id } }] }],
    historyId,
  });
  assert.equal((await gmail(ANNA, 'profile?fields=historyId,emailAddress(')).status, 400);
  const missing = await gmail(ANNA, 'messages/msg_nothing?format=raw');
  assert.equal(missing.status, 404);
  assert.equal(missing.json.error.message, 'Requested entity was not found.');
});

test('history comes in pages of one start id, and tells of labels and of what is gone', async () => {
  const start = await world.historyId(BEN);
  const mails = await world.deliverMany(BEN, 7);
  const [{ id = '' } = {}] = mails;
  await world.label(BEN, id, ['STARRED'], ['UNREAD']);
  await world.remove(BEN, id);

  const records: { id: string; [change: string]: unknown }[] = [];
  let page = '';
  const sizes: number[] = [];
  do {
    const { json } = await gmail(BEN, `history?startHistoryId=${start}&maxResults=4${page}`);
    sizes.push(json.history.length);
    records.push(...json.history);
    if (json.nextPageToken !== undefined) {
      const otherStart = await gmail(BEN, `history?startHistoryId=1&pageToken=${json.nextPageToken}`);
      assert.equal(otherStart.status, 400);
    }
    page = json.nextPageToken === undefined ? '' : `&pageToken=${json.nextPageToken}`;
  } while (page !== '');
  assert.deepEqual(sizes, [4, 4, 1]);
  assert.deepEqual(
    records.map((record) =>
      Object.keys(record)
        .filter((name) => !['id', 'messages'].includes(name))
        .join(),
    ),
    [...Array(7).fill('messagesAdded'), 'labelsAdded,labelsRemoved', 'messagesDeleted'],
  );
  assert.deepEqual(
    records.slice(0, 7).map((record) => record.id),
    mails.map(({ historyId }) => historyId).sort(),
  );
  const added = await gmail(BEN, `history?startHistoryId=${start}&historyTypes=messageAdded`);
  assert.equal(added.json.history.length, 7);
  assert.equal((await gmail(BEN, `messages/${id}`)).status, 404);
  assert.equal((await world.ids(BEN)).length, 6);

  await world.expireHistory(BEN);
  const old = await gmail(BEN, `history?startHistoryId=${start}`);
  const message = 'Requested entity was not found.';
  assert.deepEqual(
    [old.status, old.json],
    [
      404,
      {
        error: {
          code: 404,
          message,
          errors: [{ message, domain: 'global', reason: 'notFound' }],
          status: 'NOT_FOUND',
        },
      },
    ],
  );
  const { json: profile } = await gmail(BEN, 'profile');
  assert.equal((await gmail(BEN, `history?startHistoryId=${profile.historyId}`)).status, 200);
  assert.equal((await gmail(BEN, 'history?startHistoryId=abc')).status, 400);
});

test('messages are listed by time, in pages that do not shift, without spam and trash unless asked', async () => {
  const atMs = Date.UTC(2026, 0, 5);
  const mails = await world.deliverMany(CLEO, 5, (index) => ({ internalDateMs: atMs + index * 1000 }));
  const spam = await world.deliver(CLEO, { labelIds: ['SPAM'], internalDateMs: atMs - 1 });
  const idsOf = ({ json }: Answer) => (json.messages ?? []).map(({ id }: { id: string }) => id);
  const newestFirst = mails.map(({ id }) => id).reverse();

  const first = await gmail(CLEO, 'messages?maxResults=2');
  await world.deliver(CLEO);
  await world.remove(CLEO, newestFirst[1] ?? '');
  const second = await gmail(CLEO, `messages?maxResults=2&pageToken=${first.json.nextPageToken}`);
  assert.deepEqual([...idsOf(first), ...idsOf(second)], newestFirst.slice(0, 4));
  world.expirePageTokens(CLEO);
  assert.equal((await gmail(CLEO, `messages?pageToken=${first.json.nextPageToken}`)).status, 400);

  const seconds = atMs / 1000;
  const search = async (q: string) => idsOf(await gmail(CLEO, `messages?q=${encodeURIComponent(q)}`));
  assert.deepEqual(await search(`after:${seconds + 2} before:${seconds + 4}`), [newestFirst[2]]);
  assert.deepEqual(await search(`in:anywhere before:${seconds + 1}`), [mails[0]?.id, spam.id]);
  assert.deepEqual(await search(`before:${seconds + 1}`), [mails[0]?.id]);
  assert.deepEqual(await search('-in:inbox'), []);
  assert.deepEqual(idsOf(await gmail(CLEO, `messages?includeSpamTrash=true&q=before:${seconds + 1}`)), [
    mails[0]?.id,
    spam.id,
  ]);
  assert.equal((await gmail(CLEO, 'messages?q=x%20OR%20y')).status, 501);
  const none = await gmail(CLEO, 'messages?q=before:1000');
  assert.deepEqual(none.json, { resultSizeEstimate: 0 });
});

test('a watch lasts seven days, and changes are told while it does', async () => {
  const told: string[] = [];
  world.pushTo((account, historyId) => told.push(`${account} ${historyId}`));
  await world.deliver(DORA);
  const { json } = await gmail(DORA, 'watch', { topicName: 'projects/p/topics/t' });
  assert.equal(json.historyId, await world.historyId(DORA));
  assert.ok(Math.abs(Number(json.expiration) - Date.now() - 7 * 24 * 3600_000) < 60_000);
  const { id, historyId } = await world.deliver(DORA);
  await world.label(DORA, id, ['STARRED']);
  const { status, text: body } = await gmail(DORA, 'stop', {});
  assert.deepEqual([status, body], [204, '']);
  await world.deliver(DORA);
  world.pushTo(undefined);
  assert.equal(told.length, 2);
  assert.equal(told[0], `${DORA} ${historyId}`);
});

test('tokens: of consents and of service accounts, void when taken back, none strange', async () => {
  const key = JSON.parse(world.serviceAccount);
  const sign = (subject: string) =>
    new SignJWT({ scope: 'https://www.googleapis.com/auth/gmail.readonly' })
      .setProtectedHeader({ alg: 'RS256' })
      .setIssuer(key.client_email)
      .setSubject(subject)
      .setAudience('https://oauth2.googleapis.com/token')
      .setIssuedAt()
      .setExpirationTime('1h')
      .sign(createPrivateKey(key.private_key));
  const grant_type = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
  const own = await token({ grant_type, assertion: await sign(ANNA) });
  const profileWith = async (access: string, userId = 'me') =>
    read(
      await fetch(`${world.apiUrl}gmail/v1/users/${userId}/profile`, {
        headers: { authorization: `Bearer ${access}` },
      }),
    );
  assert.equal((await profileWith(own.json.access_token)).json.emailAddress, ANNA);
  assert.equal((await profileWith(own.json.access_token, ANNA)).json.emailAddress, ANNA);
  assert.equal((await profileWith(own.json.access_token, BEN)).status, 403);
  const stranger = await token({ grant_type, assertion: await sign('nobody@example.com') });
  assert.deepEqual([stranger.status, stranger.json.error], [400, 'invalid_grant']);
  assert.equal((await profileWith('made up')).status, 401);

  const held = await accessToken(ANNA);
  world.expireAccessTokens(ANNA);
  assert.equal((await profileWith(held)).json.error.status, 'UNAUTHENTICATED');
  const refreshToken = world.refreshToken(ANNA);
  await world.revoke(ANNA);
  const revoked = await token({ grant_type: 'refresh_token', refresh_token: refreshToken });
  assert.deepEqual([revoked.status, revoked.json.error], [400, 'invalid_grant']);
  assert.notEqual(await world.grant(ANNA), refreshToken);
  assert.ok(await accessToken(ANNA));

  const asked = new URLSearchParams({
    client_id: world.client.id,
    redirect_uri: world.client.redirectUris[0] ?? '',
    scope: 'x',
    state: 'y',
  });
  const back = await world.consent(ANNA, `${world.authorizationUrl}?${asked}`);
  assert.equal(back.searchParams.get('state'), 'y');
  const online = await token({
    grant_type: 'authorization_code',
    code: back.searchParams.get('code') ?? '',
    redirect_uri: asked.get('redirect_uri') ?? '',
  });
  assert.ok(online.json.access_token);
  assert.equal(online.json.refresh_token, undefined, 'offline access was not asked for');
});

test('faults are answered as clients have seen them, and every call is counted', async () => {
  const { id } = await world.deliver(ANNA);
  const path = `messages/${id}?format=raw`;
  const which = { name: 'messages.get', messageId: id } as const;
  const units = () => world.ledger.entries.reduce((sum, entry) => sum + entry.units, 0);
  const unitsBefore = units();

  world.fail(which, tooMany(7));
  const limited = await gmail(ANNA, path);
  assert.deepEqual([limited.status, limited.headers.get('retry-after')], [429, '7']);
  const until = new Date(Date.now() + 5000);
  world.fail(which, tooManyUntil(until));
  const inWords = await gmail(ANNA, path);
  assert.deepEqual([inWords.status, inWords.headers.get('retry-after')], [429, null]);
  assert.ok(inWords.json.error.message.endsWith(`Retry after ${until.toISOString()}`));
  world.fail(which, userRateLimit());
  assert.equal((await gmail(ANNA, path)).json.error.errors[0].reason, 'userRateLimitExceeded');
  world.fail(which, serverError(503));
  assert.match((await gmail(ANNA, path)).text, /^<!DOCTYPE html>/);
  for (const where of ['unheard', 'half-way'] as const) {
    world.fail(which, cut(where));
    await assert.rejects(gmail(ANNA, path), /fetch failed|terminated/);
  }
  world.fail(which, garbage());
  assert.equal((await gmail(ANNA, path)).json, undefined);
  world.fail(which, withoutRaw());
  const bare = await gmail(ANNA, path);
  assert.deepEqual([bare.json.id, bare.json.raw], [id, undefined]);
  world.fail(which, slow(100));
  const startedMs = performance.now();
  assert.equal((await gmail(ANNA, path)).status, 200);
  assert.ok(performance.now() - startedMs > 95);
  assert.equal(world.ledger.count(which), 9);
  assert.equal(world.ledger.gets().get(`${ANNA} ${id}`), 9);
  assert.equal(units() - unitsBefore, 9 * 20);
  assert.deepEqual(
    world.ledger.entries.filter((entry) => entry.messageId === id).map(({ fault }) => fault),
    [
      '429',
      '429 in words',
      'userRateLimitExceeded',
      '503',
      'cut unheard',
      'cut half-way',
      'garbage',
      'without raw',
      'slow',
    ],
  );

  world.fail({ name: 'history.list' }, expired());
  assert.equal((await gmail(ANNA, 'history?startHistoryId=1')).status, 404);
  world.fail({ name: 'history.list' }, emptyHistory());
  const { json: empty } = await gmail(ANNA, 'history?startHistoryId=1');
  assert.deepEqual(empty, { historyId: await world.historyId(ANNA) });
  world.fail({ name: 'watch' }, noTopicRights('projects/p/topics/t'));
  const watch = await gmail(ANNA, 'watch', { topicName: 'projects/p/topics/t' });
  assert.match(watch.json.error.message, /User not authorized to perform this action/);
  world.fail({ name: 'token', account: ANNA }, invalidGrant());
  const refused = await token({ grant_type: 'refresh_token', refresh_token: world.refreshToken(ANNA) });
  assert.deepEqual([refused.status, refused.json.error], [400, 'invalid_grant']);

  const stop = world.failSome({
    share: 0.5,
    seed: 7,
    names: ['getProfile'],
    faults: [() => serverError(500)],
  });
  const statuses: number[] = [];
  for (let times = 0; times < 20; times++) statuses.push((await gmail(ANNA, 'profile')).status);
  stop();
  const failed = statuses.filter((status) => status === 500).length;
  assert.ok(failed > 4 && failed < 16, `${failed} of 20`);
});

test('history can lag behind the mail', async () => {
  const start = await world.historyId(ANNA);
  world.lagHistory(ANNA, 60_000);
  const { historyId } = await world.deliver(ANNA);
  const lagging = await gmail(ANNA, `history?startHistoryId=${start}`);
  assert.deepEqual(lagging.json, { historyId: start });
  assert.equal((await gmail(ANNA, 'profile')).json.historyId, historyId);
  world.lagHistory(ANNA, 0);
  assert.equal((await gmail(ANNA, `history?startHistoryId=${start}`)).json.history.length, 1);
});

test('whoever asks for more than Google gives in a minute is refused', async () => {
  await using small = await startGmailWorld({ accounts: [ANNA], limits: { perAccount: 6, perProject: 100 } });
  const form = { grant_type: 'refresh_token', refresh_token: small.refreshToken(ANNA) };
  const client = { client_id: small.client.id, client_secret: small.client.secret };
  const body = new URLSearchParams({ ...form, ...client });
  const { json } = await read(await fetch(small.tokenUrl, { method: 'POST', body }));
  const statuses: number[] = [];
  for (let times = 0; times < 4; times++) {
    const headers = { authorization: `Bearer ${json.access_token}` };
    const url = `${small.apiUrl}gmail/v1/users/me/history?startHistoryId=1`;
    statuses.push((await read(await fetch(url, { headers }))).status);
  }
  assert.deepEqual(statuses, [200, 200, 200, 429]);
  assert.equal(small.ledger.mostUnitsAMinute(ANNA), 8);
});

test('pushes come as Pub/Sub sends them until they are acked, with a token that the issuer vouches for', async () => {
  await using tokens = await startPushTokens();
  const answers = [500, 401, 204];
  await using consumer = await startConsumer((response) => response.writeHead(answers.shift() ?? 200).end());
  const { received: pushes, url } = consumer;
  const quick = { first: 1, most: 5 };

  await using driver = createPushDriver({
    url,
    tokens,
    deadLetters: true,
    historyIdAs: 'number',
    backoffMs: quick,
  });
  driver.publish(ANNA, '123456789012345678901');
  await driver.drained();
  assert.equal(pushes.length, 3);
  const envelopes = pushes.map(({ body }) => JSON.parse(body));
  assert.deepEqual(
    envelopes.map(({ deliveryAttempt }) => deliveryAttempt),
    [1, 2, 3],
  );
  assert.equal(new Set(envelopes.map(({ message }) => message.messageId)).size, 1);
  assert.equal(
    Buffer.from(envelopes[0].message.data, 'base64').toString(),
    `{"emailAddress":"${ANNA}","historyId":123456789012345678901}`,
  );
  const sent = String(pushes[0]?.headers.authorization).slice('Bearer '.length);
  const { issuer, audience, certsUrl, serviceAccount } = tokens.options;
  const { payload } = await jwtVerify(sent, createRemoteJWKSet(new URL(certsUrl)), { issuer, audience });
  assert.deepEqual([payload.email, payload.email_verified], [serviceAccount, true]);

  pushes.length = 0;
  await using bare = createPushDriver({
    url,
    tokens,
    form: 'unwrapped',
    historyIdAs: 'string',
    doubledShare: 1,
  });
  bare.publish(ANNA, '5');
  await bare.drained();
  assert.deepEqual(
    pushes.map(({ body }) => body),
    Array(2).fill(`{"emailAddress":"${ANNA}","historyId":"5"}`),
  );
  assert.ok(pushes[0]?.headers['x-goog-pubsub-message-id']);

  pushes.length = 0;
  await using shuffled = createPushDriver({ url, tokens, reorderWithinMs: 50, oncePerSecond: true });
  for (let at = 0; at < 20; at++) shuffled.publish(`${at % 10}@example.com`, String(at));
  await shuffled.drained();
  assert.equal(shuffled.counts.dropped, 10);
  const order = pushes.map(({ body }) =>
    Number(JSON.parse(Buffer.from(JSON.parse(body).message.data, 'base64').toString()).historyId),
  );
  assert.notDeepEqual(
    order,
    order.toSorted((a, b) => a - b),
  );

  // Nobody is there.
  bare.moveTo('http://127.0.0.1:9/');
  bare.publish(ANNA, '6');
  await assert.rejects(bare.drained(100), /2 pushes are not acked/);
  assert.ok(bare.counts.unanswered > 2);
});
