import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import postgres, { type Sql } from 'postgres';
import { Webhook } from 'standardwebhooks';
import { createId } from '../../src/core/ids.ts';
import { createSecret, sign } from '../../src/core/signature.ts';
import {
  addSource,
  batch,
  gmailItem,
  mailOf,
  type PushSource,
  push,
  signatureHeaders,
  startTestService,
  type TestService,
} from '../support/service.ts';
import { expectProblem } from './problem.ts';

let service: TestService;
let sql: Sql;
let source: PushSource & { mailboxId: string };
let other: PushSource;
let rawSource: PushSource;
before(async () => {
  service = await startTestService();
  sql = postgres(service.databaseUrl, { max: 1 });
  source = await addSource(service);
  other = await addSource(service);
  rawSource = await addSource(service, 'raw');
});
after(async () => {
  await sql.end();
  await service.dispose();
});

let ids = 0;
const freshBatch = () => Buffer.from(batch([gmailItem(`a${++ids}`, mailOf(`Signed ${ids}`))]));
const post = (url: string, headers: Record<string, string>, body: Uint8Array) =>
  fetch(url, { method: 'POST', headers, body: Buffer.from(body) });
const secondsAgo = (seconds: number) => new Date(Date.now() - seconds * 1000);

async function countMessages(): Promise<number> {
  const [row] = await sql`SELECT count(*)::int AS count FROM messages`;
  return row?.count;
}

describe('refuses, always with the very same answer', () => {
  type Signed = ReturnType<typeof signatureHeaders>;
  const without = (name: string) => (headers: Signed) =>
    Object.fromEntries(Object.entries(headers).filter(([key]) => key !== name));
  const signatureOf = (headers: Signed) => headers['webhook-signature'] ?? '';
  const changed = (name: string, change: (value: string) => string) => (headers: Signed) => ({
    ...headers,
    [name]: change(headers[name] ?? ''),
  });

  /** Headers made of those that would be right. */
  const headerCases: Record<string, (headers: Signed, body: Buffer) => Record<string, string>> = {
    'no headers': () => ({}),
    'no id': without('webhook-id'),
    'no timestamp': without('webhook-timestamp'),
    'no signature': without('webhook-signature'),
    'an empty signature': changed('webhook-signature', () => ''),
    'the signature of another secret': (_, body) => signatureHeaders(createSecret(), body),
    "another source's signature": (_, body) => signatureHeaders(other.secret, body),
    'the signature of another body': () => signatureHeaders(source.secret, Buffer.from('{"kind":"ping"}')),
    'a signature cut by one character': changed('webhook-signature', (value) => value.slice(0, -1)),
    'half a signature': changed('webhook-signature', (value) => value.slice(0, value.length / 2)),
    'a version without a signature': changed('webhook-signature', () => 'v1,'),
    'a signature without a version': changed('webhook-signature', (value) => value.slice(3)),
    'the signature under another version': changed('webhook-signature', (value) => `v2${value.slice(2)}`),
    'two wrong signatures': (_, body) => ({
      ...signatureHeaders(source.secret, body),
      'webhook-signature': [createSecret(), createSecret()]
        .map((secret) => signatureOf(signatureHeaders(secret, body)))
        .join(' '),
    }),
    'another id than was signed': changed('webhook-id', (value) => `${value}x`),
    'another timestamp than was signed': changed('webhook-timestamp', (value) => String(Number(value) - 1)),
    'a timestamp in milliseconds': changed('webhook-timestamp', (value) => `${value}000`),
    'a timestamp that is no number': changed('webhook-timestamp', () => 'now'),
    'a stale timestamp': (_, body) => signatureHeaders(source.secret, body, secondsAgo(302)),
    'a future timestamp': (_, body) => signatureHeaders(source.secret, body, secondsAgo(-303)),
  };

  /** Paths under which there is no such source; signed with a secret that is right somewhere. */
  const pathCases: Record<string, () => [path: string, secret: string]> = {
    'an unknown source': () => [`apps-script/${createId('src')}`, source.secret],
    'a short id': () => ['apps-script/src_123', source.secret],
    'an id in upper case': () => [`apps-script/${source.id.toUpperCase()}`, source.secret],
    'the id of a mailbox': () => [`apps-script/${source.mailboxId}`, source.secret],
    'an id with U+0000': () => ['apps-script/src_%00', source.secret],
    'an id that is no UTF-8': () => ['apps-script/%ff%fe', source.secret],
    'a long id': () => [`apps-script/${'a'.repeat(5000)}`, source.secret],
    'a raw source on the route for scripts': () => [`apps-script/${rawSource.id}`, rawSource.secret],
    'a script source on the route for raw mail': () => [`raw/${source.id}`, source.secret],
    'an unknown source of raw mail': () => [`raw/${createId('src')}`, rawSource.secret],
  };

  const answers: Record<string, unknown> = {};
  async function noteRefusal(name: string, response: Response): Promise<void> {
    const headers = [...response.headers].filter(([key]) => key !== 'x-request-id' && key !== 'date');
    answers[name] = { headers, problem: await expectProblem(response, 401, 'unauthorized') };
  }

  for (const [name, change] of Object.entries(headerCases)) {
    test(name, async () => {
      const body = freshBatch();
      const headers = change(signatureHeaders(source.secret, body), body);
      await noteRefusal(name, await post(source.ingestUrl, headers, body));
    });
  }

  for (const [name, path] of Object.entries(pathCases)) {
    test(name, async () => {
      const body = freshBatch();
      const [rest, secret] = path();
      const url = `${service.address}/v1/ingest/${rest}`;
      await noteRefusal(name, await post(url, signatureHeaders(secret, body), body));
    });
  }

  test('and stores nothing', async () => {
    const expected = answers['no headers'];
    assert.equal(Object.keys(answers).length, Object.keys({ ...headerCases, ...pathCases }).length);
    for (const [name, answer] of Object.entries(answers)) assert.deepEqual(answer, expected, name);
    assert.equal(await countMessages(), 0);
  });
});

test('takes a signature of almost five minutes ago, and one among wrong ones', async () => {
  const body = freshBatch();
  const old = signatureHeaders(source.secret, body, secondsAgo(290));
  assert.equal((await post(source.ingestUrl, old, body)).status, 200);

  const headers = signatureHeaders(createSecret(), body);
  const id = headers['webhook-id'] ?? '';
  const timestamp = Number(headers['webhook-timestamp']);
  headers['webhook-signature'] += ` ${sign({ id, timestamp, body, secrets: [source.secret] })}`;
  assert.equal((await post(source.ingestUrl, headers, body)).status, 200);
});

test('takes what the official library signs', async () => {
  const body = freshBatch();
  const at = new Date();
  const headers = {
    'webhook-id': 'msg_of_the_library',
    'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
    'webhook-signature': new Webhook(source.secret).sign('msg_of_the_library', at, body.toString()),
  };
  const response = await post(source.ingestUrl, headers, body);
  assert.equal(response.status, 200, await response.text());
});

test('a replayed batch is a duplicate that names the message, and nothing is stored twice', async () => {
  const body = freshBatch();
  const headers = signatureHeaders(source.secret, body);
  const first = (await (await post(source.ingestUrl, headers, body)).json()) as Results;
  const storedOnce = await countMessages();
  assert.equal(first.results[0]?.status, 'accepted');

  const again = (await (await post(source.ingestUrl, headers, body)).json()) as Results;
  assert.deepEqual(again.results, [{ ...first.results[0], status: 'duplicate' }]);
  assert.equal(await countMessages(), storedOnce);
  const [row] = await sql`
    SELECT (SELECT count(*)::int FROM events) AS events, (SELECT count(*)::int FROM raw_mails) AS raw,
           (SELECT count(*)::int FROM dedupe_ledger) AS ledger`;
  assert.deepEqual({ ...row }, { events: storedOnce, raw: storedOnce, ledger: storedOnce });
});

type Results = { results: { id: string; status: string; messageId?: string }[] };

describe('after a rotation', () => {
  const rotate = async (at: TestService, id: string) => {
    const { status, body } = await at.api('POST', `/v1/sources/${id}/rotate-secret`);
    assert.equal(status, 200);
    return body as PushSource;
  };
  const statusOf = async (pushed: PushSource) => (await push(pushed, freshBatch())).status;

  test('both secrets are taken, and after a second one the first no more', async () => {
    const first = await addSource(service);
    assert.equal(await statusOf(first), 200);
    const second = await rotate(service, first.id);
    assert.notEqual(second.secret, first.secret);
    assert.equal(second.ingestUrl, first.ingestUrl);
    assert.deepEqual([await statusOf(first), await statusOf(second)], [200, 200]);

    const third = await rotate(service, first.id);
    assert.deepEqual([await statusOf(second), await statusOf(third)], [200, 200]);
    await expectProblem(await push(first, freshBatch()), 401, 'unauthorized');
  });

  test('by another process, both secrets are taken at once', async () => {
    const neighbour = await startTestService({ databaseUrl: service.databaseUrl, dispatch: false });
    try {
      const first = await addSource(service);
      // Now this process remembers the source with its first secret.
      assert.equal(await statusOf(first), 200);
      const second = await rotate(neighbour, first.id);
      const here = { ...second, ingestUrl: first.ingestUrl };
      assert.deepEqual([await statusOf(here), await statusOf(first)], [200, 200]);
    } finally {
      await neighbour.dispose();
    }
  });
});
