import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { addSource, type PushSource, startTestService, type TestService } from '../support/service.ts';
import { expectProblem, faultPaths } from './problem.ts';

let service: TestService;
let source: PushSource;
before(async () => {
  service = await startTestService();
  source = await addSource(service);
});
after(() => service.dispose());

const plain = (change: Record<string, unknown> = {}) =>
  JSON.stringify({
    subject: 'Plain',
    sender: 'Ada <ada@example.com>',
    body: 'Hello\nthere',
    date: '2026-11-20T10:00:00+01:00',
    ...change,
  });

type Result = { id: null; status: string; messageId: string };

async function pushPlain(change: Record<string, unknown> = {}): Promise<Result> {
  const response = await service.push(source, plain(change));
  const text = await response.text();
  assert.equal(response.status, 200, text);
  const { results } = JSON.parse(text) as { results: Result[] };
  assert.equal(results.length, 1);
  return results[0] as Result;
}

// biome-ignore lint/suspicious/noExplicitAny: a message, looked into
async function messageOf(change: Record<string, unknown>): Promise<any> {
  const { messageId } = await pushPlain(change);
  return (await service.api('GET', `/v1/messages/${messageId}`)).body;
}

test('becomes a message like any other, and a duplicate when it comes again', async () => {
  const { id, status, messageId } = await pushPlain();
  assert.deepEqual([id, status], [null, 'accepted']);
  const { body: message } = await service.api('GET', `/v1/messages/${messageId}`);
  assert.equal(message.subject, 'Plain');
  assert.deepEqual(message.from, { name: 'Ada', address: 'ada@example.com' });
  assert.equal(message.text.replaceAll('\r\n', '\n').trimEnd(), 'Hello\nthere');
  assert.equal(message.date, '2026-11-20T09:00:00.000Z');
  assert.equal(message.receivedAt, '2026-11-20T09:00:00.000Z');
  assert.deepEqual([message.providerId, message.placement, message.parse], [null, 'other', 'ok']);

  assert.deepEqual(await pushPlain(), { id: null, status: 'duplicate', messageId });
  // The same moment, written otherwise.
  assert.equal((await pushPlain({ date: '2026-11-20T09:00:00Z' })).status, 'duplicate');
  assert.equal((await pushPlain({ date: '2026-11-20T09:00:01Z' })).status, 'accepted');
});

test('keeps every letter', async () => {
  const message = await messageOf({
    subject: 'Grüße 🎉',
    sender: 'Jürgen <j@example.com>',
    body: 'Ü €\n.\n日本',
  });
  assert.equal(message.subject, 'Grüße 🎉');
  assert.equal(message.from.name, 'Jürgen');
  assert.equal(message.text.replaceAll('\r\n', '\n').trimEnd(), 'Ü €\n.\n日本');
  assert.equal(message.parse, 'ok');
});

test('may be empty', async () => {
  const message = await messageOf({ subject: '', sender: '', body: '' });
  assert.deepEqual([message.from, message.attachments], [null, []]);
});

describe('a line break in it begins no header and no body', () => {
  const forged = 'Bcc: victim@example.com';
  for (const [name, lineBreak] of Object.entries({
    'CR LF': '\r\n',
    LF: '\n',
    CR: '\r',
    'CR LF and a blank line': '\r\n\r\n',
    'U+2028': '\u2028',
    'U+0085': '\u0085',
    'U+000B': '\u000b',
  })) {
    for (const field of ['subject', 'sender'] as const) {
      test(`${name} in the ${field}`, async () => {
        const text = `x <x@example.com>${lineBreak}${forged}${lineBreak}${lineBreak}Forged body`;
        const message = await messageOf({ [field]: text });
        const names = message.headers.map(([header]: [string]) => header.toLowerCase());
        assert.deepEqual(names, [
          'from',
          'subject',
          'date',
          'mime-version',
          'content-type',
          'content-transfer-encoding',
        ]);
        assert.deepEqual([message.bcc, message.text.trim()], [[], 'Hello\r\nthere'.replace('\r', '')]);
      });
    }
  }

  test('and a body that looks like headers stays a body', async () => {
    const message = await messageOf({ body: `${forged}\r\n\r\n--x\r\nContent-Type: text/html\r\n\r\n<b>` });
    assert.deepEqual([message.bcc, message.html, message.attachments], [[], null, []]);
    assert.match(message.text, /^Bcc: victim@example\.com/);
  });
});

describe('a date that is none is refused', () => {
  for (const date of [
    '',
    'yesterday',
    '2026-13-01',
    '2026-11-20T25:00:00Z',
    'NaN',
    '1760000000000',
    '999999-01-01',
  ]) {
    test(JSON.stringify(date), async () => {
      const response = await service.push(source, plain({ date }));
      assert.deepEqual(faultPaths(await expectProblem(response, 400, 'bad_request')), ['date']);
    });
  }
});

test('a date as scripts print it is read', async () => {
  for (const date of [
    'Fri Nov 20 2026 10:00:00 GMT+0100 (Central European Standard Time)',
    'Fri, 20 Nov 2026 09:00:00 GMT',
    '2026-11-20T09:00:00.000Z',
  ]) {
    const message = await messageOf({ date, subject: date });
    assert.equal(message.date, '2026-11-20T09:00:00.000Z');
  }
});
