import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import postgres, { type Sql } from 'postgres';
import { addGmailSource, readHint } from '../support/gmail-source.ts';
import { type PushTokens, startPushTokens } from '../support/push-tokens.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { expectProblem, faultPaths } from './problem.ts';

let google: PushTokens;
let service: TestService;
let sql: Sql;
let token: string;
before(async () => {
  google = await startPushTokens();
  token = await google.token();
  service = await startTestService({ pubsub: google.options });
  sql = postgres(service.databaseUrl, { max: 1 });
});
after(async () => {
  await sql.end();
  await service.dispose();
  await google[Symbol.asyncDispose]();
});

const post = (body: string | Uint8Array, headers: Record<string, string> = {}, at = service) =>
  fetch(`${at.address}/v1/ingest/pubsub`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${token}`, ...headers },
    body: Buffer.from(body),
  });
const wrapped = (payload: unknown) =>
  JSON.stringify({
    message: {
      data: Buffer.from(JSON.stringify(payload)).toString('base64'),
      messageId: '2070443601311540',
      publishTime: '2021-02-26T19:13:55.749Z',
    },
    subscription: 'projects/myproject/subscriptions/mysubscription',
  });
/** Holds that it is answered 204, without a body. */
async function expectTaken(response: Response): Promise<void> {
  assert.deepEqual([response.status, await response.text()], [204, '']);
}

test('takes a push, wrapped or not, whatever its content type says', async () => {
  const source = await addGmailSource(sql, 'forms@example.com');
  const push = { emailAddress: 'forms@example.com', historyId: 1 };
  await expectTaken(await post(wrapped(push)));
  assert.equal((await readHint(sql, source)).historyId, '1');
  await expectTaken(await post(JSON.stringify({ ...push, historyId: '2' })));
  assert.equal((await readHint(sql, source)).historyId, '2');
  await expectTaken(
    await post(JSON.stringify({ ...push, historyId: 3 }), {
      'content-type': 'text/plain',
      'x-goog-pubsub-message-id': '2070443601311540',
    }),
  );
  assert.equal((await readHint(sql, source)).historyId, '3');
});

test('keeps every digit, and the greatest of what comes late and twice', async () => {
  const source = await addGmailSource(sql, 'digits@example.com');
  for (const [written, kept] of [
    ['9007199254740993', '9007199254740993'],
    ['"9007199254740995"', '9007199254740995'],
    ['123456789012345678901', '123456789012345678901'],
    ['9007199254740997', '123456789012345678901'],
    ['123456789012345678901', '123456789012345678901'],
    ['"123456789012345678903"', '123456789012345678903'],
  ] as const) {
    await expectTaken(await post(`{"emailAddress": "digits@example.com", "historyId": ${written}}`));
    assert.equal((await readHint(sql, source)).historyId, kept);
  }
});

test('hints every source of the account, in whichever letters it is written', async () => {
  const sources = [
    await addGmailSource(sql, 'two@example.com'),
    await addGmailSource(sql, 'two@example.com', 'acme'),
  ];
  await expectTaken(await post(wrapped({ emailAddress: 'Two@Example.com', historyId: 5 })));
  for (const source of sources) assert.equal((await readHint(sql, source)).historyId, '5');
});

test('takes a push for an address that nobody watches', async () => {
  await expectTaken(await post(wrapped({ emailAddress: 'nobody@example.com', historyId: 5 })));
});

test('many at once all are taken', async () => {
  const source = await addGmailSource(sql, 'many@example.com');
  const responses = await Promise.all(
    Array.from({ length: 200 }, (_, n) =>
      post(wrapped({ emailAddress: 'many@example.com', historyId: (n * 7) % 199 })),
    ),
  );
  for (const response of responses) await expectTaken(response);
  assert.equal((await readHint(sql, source)).historyId, '198');
});

describe('refuses', () => {
  test('what is no push, and says where', async () => {
    const source = await addGmailSource(sql, 'bad@example.com');
    const table: [body: string, paths: string[]][] = [
      ['', []],
      ['hello', []],
      ['{"message": {"data": "e30="}}', ['message.data.emailAddress', 'message.data.historyId']],
      ['{"message": {"data": "{}"}}', ['message.data']],
      ['{"message": {}}', ['message.data']],
      ['{"emailAddress": "bad@example.com"}', ['historyId']],
      ['{"emailAddress": "bad@example.com", "historyId": -1}', ['historyId']],
      ['{"emailAddress": "bad@example.com", "historyId": 1.5}', ['historyId']],
      ['{"emailAddress": "bad@example.com", "historyId": 1e30}', ['historyId']],
      [`{"emailAddress": "bad@example.com", "historyId": ${'9'.repeat(41)}}`, ['historyId']],
      ['{"emailAddress": "bad\\u0000@example.com", "historyId": 1}', ['emailAddress']],
    ];
    for (const [body, paths] of table) {
      const problem = await expectProblem(await post(body), 400, 'bad_request');
      assert.deepEqual(faultPaths(problem), paths, body);
    }
    assert.equal((await readHint(sql, source)).at, null);
  });

  test('a body that is too large', async () => {
    await expectProblem(await post('a'.repeat(300_000)), 413, 'body_too_large');
  });

  test('everything while it is not configured, with what to set', async () => {
    const other = await startTestService({ dispatch: false });
    try {
      const response = await post(wrapped({ emailAddress: 'two@example.com', historyId: 5 }), {}, other);
      assert.ok(Number(response.headers.get('retry-after')) > 0);
      const { detail } = await expectProblem(response, 503, 'pubsub_not_configured');
      assert.match(detail, /MAILGRESS_PUBSUB_AUDIENCE/);
    } finally {
      await other.dispose();
    }
  });
});
