import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import postgres, { type Sql } from 'postgres';
import { uuidOf } from '../../src/core/ids.ts';
import {
  ADMIN_TOKEN,
  addSource,
  batch,
  gmailItem,
  mailOf,
  type PushSource,
  startTestService,
  type TestService,
} from '../support/service.ts';
import { expectProblem, faultPaths } from './problem.ts';

let service: TestService;
let sql: Sql;
before(async () => {
  service = await startTestService({ bodyLimitBytes: 32 * 1024 * 1024 });
  sql = postgres(service.databaseUrl, { max: 1 });
});
after(async () => {
  await sql.end();
  await service.dispose();
});

type Result = { id: string | null; status: string; messageId?: string; reason?: string };

async function pushItems(source: PushSource, items: unknown[]): Promise<Result[]> {
  const response = await service.push(source, batch(items));
  const text = await response.text();
  assert.equal(response.status, 200, text.slice(0, 500));
  return JSON.parse(text).results;
}

type Stub = { providerId: string; status: string; error: string; attempts: number };

async function stubsOf(source: PushSource): Promise<Stub[]> {
  const rows = await sql<Stub[]>`
    SELECT provider_id AS "providerId", status, error, attempts FROM stubs
    WHERE source_id = ${uuidOf(source.id as `src_${string}`)} ORDER BY id`;
  return rows.map((row) => ({ ...row }));
}

const countsOf = async (source: PushSource) =>
  (await service.api('GET', `/v1/sources/${source.id}`)).body.counts;

test('a batch of no mails is taken', async () => {
  assert.deepEqual(await pushItems(await addSource(service), []), []);
});

test('a batch of 10,000 mails is stored whole, its results in the order sent', async () => {
  const source = await addSource(service);
  const items = Array.from({ length: 10_000 }, (_, index) =>
    gmailItem(`${(index + 1).toString(16)}a`, mailOf(`No. ${index}`)),
  );
  const results = await pushItems(source, items);
  assert.deepEqual(
    results.map(({ id, status }) => [id, status]),
    items.map(({ id }) => [id, 'accepted']),
  );
  assert.equal(new Set(results.map(({ messageId }) => messageId)).size, 10_000);
  // Each result names the message of its own mail.
  const rows = await sql<{ id: string; subject: string }[]>`SELECT replace(id::text, '-', '') AS id, subject
    FROM messages WHERE subject LIKE 'No. %'`;
  const subjects = new Map(rows.map(({ id, subject }) => [`msg_${id}`, subject]));
  assert.deepEqual(
    results.map(({ messageId }) => subjects.get(messageId ?? '')),
    items.map((_, index) => `No. ${index}`),
  );
});

test('a batch of more mails than a request may hold is refused as a whole', async () => {
  const body = `{"kind":"messages","messages":[${'0,'.repeat(100_000)}0]}`;
  const response = await service.push(await addSource(service), body);
  assert.deepEqual(faultPaths(await expectProblem(response, 400, 'bad_request')), ['messages']);
});

describe('one rotten mail among good ones is rejected alone and kept as a failed stub', () => {
  const raw = Buffer.from(mailOf('Rotten')).toString('base64url');
  const longId = 'a'.repeat(129);
  /** The id that the result answers, the id that the stub is kept under (null: a hash), and what the reason says. */
  const cases: [name: string, item: unknown, id: string | null, stubId: string | null, reason: RegExp][] = [
    ['bad base64', { id: 'b1', raw: `${raw.slice(0, 20)}!${raw}` }, 'b1', 'b1', /raw: must be base64url/],
    [
      'letters whose low bytes are base64',
      { id: 'b3', raw: '\u0141\u0141\u0141\u0141' },
      'b3',
      'b3',
      /raw: must be base64url/,
    ],
    ['base64 cut within a byte', { id: 'b2', raw: 'SGVsbG8hI' }, 'b2', 'b2', /raw: must be base64url/],
    ['raw that is no string', { id: 'b3', raw: 7 }, 'b3', 'b3', /^raw: .*string/],
    ['empty raw', { id: 'b4', raw: '' }, 'b4', 'b4', /^raw: must not be empty/],
    ['missing raw', { id: 'b5' }, 'b5', 'b5', /^raw: /],
    ['truncated without headers', { id: 'b6', truncated: true }, 'b6', 'b6', /^headers: /],
    ['an id with other characters', { id: 'b 7/ü', raw }, 'b 7/ü', null, /^id: must be 1 to 128 of A-Z/],
    ['an id with U+0000', { id: 'b\0', raw }, 'b\0', null, /^id: /],
    ['an id with a lone surrogate', { id: 'b\ud800', raw }, 'b\ufffd', null, /^id: /],
    ['an empty id', { id: '', raw }, '', null, /^id: /],
    ['an id of 129 characters', { id: longId, raw }, longId, null, /^id: /],
    ['a numeric id', { id: 12, raw }, null, null, /^id: .*string/],
    ['no id', { raw }, null, null, /^id: /],
    ['null', null, null, null, /object/],
    ['a number', 3, null, null, /object/],
    ['a string', 'mail', null, null, /object/],
    ['a list', [raw], null, null, /object/],
    ['labels that are no list', { id: 'b8', raw, labelIds: 'INBOX' }, 'b8', 'b8', /^labelIds: /],
    ['a date that is none', { id: 'b9', raw, internalDate: 'today' }, 'b9', 'b9', /^internalDate: /],
    ['several faults', { id: 'b10', labelIds: 1 }, 'b10', 'b10', /labelIds: .*; raw: /],
  ];
  for (const [name, item, id, stubId, reason] of cases) {
    test(name, async () => {
      const source = await addSource(service);
      const items = [gmailItem('f1', mailOf('Before')), item, gmailItem('f2', mailOf('Behind'))];
      const results = await pushItems(source, items);
      assert.deepEqual(
        results.map(({ status }) => status),
        ['accepted', 'rejected', 'accepted'],
      );
      assert.equal(results[1]?.id, id);
      assert.match(results[1]?.reason ?? '', reason);
      assert.equal(results[1]?.messageId, undefined);

      const [stub, ...more] = await stubsOf(source);
      assert.deepEqual(more, []);
      assert.deepEqual([stub?.status, stub?.error], ['failed', results[1]?.reason]);
      if (stubId === null) assert.match(stub?.providerId ?? '', /^sha256-[0-9a-f]{32}$/);
      else assert.equal(stub?.providerId, stubId);
      assert.deepEqual(await countsOf(source), { failed: 1, missing: 0, openGaps: 0 });
    });
  }
});

test('rotten mails without an id have a stub each, also when the batch comes again', async () => {
  const source = await addSource(service);
  const body = batch([null, 3, { id: '?' }, { id: '?' }]);
  await service.push(source, body);
  await service.push(source, body);
  const stubs = await stubsOf(source);
  assert.equal(stubs.length, 4);
  assert.equal(new Set(stubs.map(({ providerId }) => providerId)).size, 4);
});

test('ids that differ behind the 128th character alone are two stubs', async () => {
  const source = await addSource(service);
  await pushItems(
    source,
    ['x', 'y'].map((end) => ({ id: 'i'.repeat(128) + end, raw: 'SGVsbG8' })),
  );
  assert.equal((await stubsOf(source)).length, 2);
});

test('many rotten mails in a large batch cost no more than good ones', async () => {
  const source = await addSource(service);
  const ballast = gmailItem('ba11a57', mailOf('Ballast', 'x'.repeat(4 * 1024 * 1024)));
  const startedMs = performance.now();
  const results = await pushItems(source, [ballast, ...Array.from({ length: 5000 }, () => null)]);
  // A hash of the whole body for each of them would take more than a minute.
  assert.ok(performance.now() - startedMs < 20_000);
  assert.equal(results.filter(({ status }) => status === 'rejected').length, 5000);
});

test('what the reason of a rejection says holds nothing of the mail', async () => {
  const source = await addSource(service);
  const [result] = await pushItems(source, [{ id: 'c0', raw: 'secret words!' }]);
  assert.ok(!result?.reason?.includes('secret'));
});

test('takes base64 with and without padding, of both alphabets', async () => {
  const source = await addSource(service);
  const mail = Buffer.from(mailOf('Alphabets', '\u00ff\u00fe\u00fb??>>~~'));
  const forms = [mail.toString('base64'), mail.toString('base64url'), `${mail.toString('base64')}\r\n`];
  const results = await pushItems(
    source,
    forms.map((raw, index) => ({ id: `ba5e${index}`, raw })),
  );
  for (const { messageId } of results) {
    const url = `${service.address}/v1/messages/${messageId}/raw`;
    const response = await fetch(url, {
      headers: { authorization: `Bearer ${ADMIN_TOKEN}` },
    });
    assert.deepEqual(Buffer.from(await response.arrayBuffer()), mail);
  }
});

test('the same mail twice in one batch is stored once', async () => {
  const source = await addSource(service);
  const item = gmailItem('0D0B1E', mailOf('Twice'));
  // One id in its three spellings.
  const results = await pushItems(source, [item, { ...item, id: 'd0b1e' }, { ...item, id: '000d0b1e' }]);
  assert.deepEqual(
    results.map(({ id, status }) => [id, status]),
    [
      ['0D0B1E', 'accepted'],
      ['d0b1e', 'duplicate'],
      ['000d0b1e', 'duplicate'],
    ],
  );
  assert.equal(new Set(results.map(({ messageId }) => messageId)).size, 1);
});
