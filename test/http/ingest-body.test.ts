import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { waitUntil } from '../support/embedded-place.ts';
import {
  ADMIN_TOKEN,
  addSource,
  batch,
  gmailItem,
  mailOf,
  type PushSource,
  signatureHeaders,
  startTestService,
  type TestService,
} from '../support/service.ts';
import { captureLog } from './captured-log.ts';
import { expectProblem, faultPaths } from './problem.ts';
import { chunkOf, openRawConnection, requestHead } from './raw-connection.ts';

const LIMIT_BYTES = 256 * 1024;
const { log, lines } = captureLog();
let service: TestService;
let source: PushSource;
let rawSource: PushSource;
before(async () => {
  service = await startTestService({ bodyLimitBytes: LIMIT_BYTES, log });
  source = await addSource(service);
  rawSource = await addSource(service, 'raw');
});
after(() => service.dispose());

async function expectAlive(): Promise<void> {
  assert.equal((await fetch(`${service.address}/healthz`)).status, 200);
  assert.deepEqual(
    lines.filter(({ level, status }) => level >= 40 || Number(status) >= 500),
    [],
  );
}

async function storedCount(): Promise<number> {
  return (await service.api('GET', '/v1/messages?limit=500')).body.data.length;
}

test('no bytes are no JSON, and no mail', async () => {
  await expectProblem(await service.push(source, ''), 400, 'invalid_json');
  await expectProblem(await service.push(rawSource, ''), 400, 'bad_request');
});

describe('refuses as no JSON', () => {
  const bodies: Record<string, string | Uint8Array> = {
    blanks: ' \r\n\t',
    'a word': 'hello',
    'a JSON text cut short': '{"kind":"ping"',
    'two JSON texts': '{"kind":"ping"}{"kind":"ping"}',
    'a form': 'kind=ping',
    'bytes that are no UTF-8': Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d]),
    'a character cut in half': Buffer.concat([Buffer.from('{"kind":"'), Buffer.of(0xe2, 0x82)]),
    'UTF-16': Buffer.from('{"kind":"ping"}', 'utf16le'),
    'a surrogate in bytes (CESU-8)': Buffer.concat([
      Buffer.from('{"kind":"'),
      Buffer.of(0xed, 0xa0, 0x80),
      Buffer.from('"}'),
    ]),
    '10,000 brackets that are not closed': '['.repeat(10_000),
    NaN: '{"kind":"messages","messages":[NaN]}',
  };
  for (const [name, body] of Object.entries(bodies)) {
    test(name, async () => {
      const problem = await expectProblem(await service.push(source, body), 400, 'invalid_json');
      assert.ok(!JSON.stringify(problem).includes('ping'), 'the answer quotes nothing of the body');
    });
  }
});

test('takes a body with a byte order mark', async () => {
  const response = await service.push(source, '\ufeff{"kind":"ping"}');
  assert.deepEqual([response.status, await response.json()], [200, { results: [] }]);
});

describe('nested 10,000 deep', () => {
  const deepArray = '['.repeat(10_000) + ']'.repeat(10_000);
  const deepObject = `${'{"a":'.repeat(10_000)}0${'}'.repeat(10_000)}`;
  const mail = JSON.stringify(gmailItem('dee9', mailOf('Beside what is deep')));

  for (const deep of [deepArray, deepObject]) {
    const kind = deep === deepArray ? 'arrays' : 'objects';

    test(`${kind} as the body are refused`, async () => {
      await expectProblem(await service.push(source, deep), 400, 'bad_request');
    });

    test(`${kind} as a field are refused with their path`, async () => {
      const body = `{"kind":"messages","messages":[${mail}],"gap":${deep}}`;
      const problem = await expectProblem(await service.push(source, body), 400, 'bad_request');
      assert.match(faultPaths(problem).join(), /^gap/);
    });

    test(`${kind} as a mail are rejected alone`, async () => {
      const response = await service.push(source, `{"kind":"messages","messages":[${deep},${mail},${deep}]}`);
      assert.equal(response.status, 200);
      const { results } = (await response.json()) as { results: { id: string | null; status: string }[] };
      assert.deepEqual([results[0]?.status, results[2]?.status], ['rejected', 'rejected']);
      assert.match(results[1]?.status ?? '', /^(accepted|duplicate)$/);
    });

    test(`${kind} in unknown fields are passed over`, async () => {
      const item = `${mail.slice(0, -1)},"extra":${deep}}`;
      const body = `{"kind":"messages","messages":[${item}],"extra":${deep}}`;
      const response = await service.push(source, body);
      const { results } = (await response.json()) as { results: { status: string }[] };
      assert.match(results[0]?.status ?? '', /^(accepted|duplicate)$/);
    });
  }
  test('and the process is well', expectAlive);
});

describe('refuses another shape, saying where', () => {
  const item = gmailItem('5a9e', mailOf('Shape'));
  const cases: [name: string, body: unknown, paths: string[]][] = [
    ['null', null, ['']],
    ['a number', 1, ['']],
    ['a list', [item], ['']],
    ['an empty object', {}, ['subject', 'sender', 'body', 'date']],
    ['an unknown kind', { kind: 'letters', messages: [] }, ['kind']],
    ['a kind that is no string', { kind: ['ping'] }, ['kind']],
    ['no messages', { kind: 'messages' }, ['messages']],
    ['messages that are no list', { kind: 'messages', messages: { 0: item } }, ['messages']],
    ['a script without version', { kind: 'ping', script: { account: 'a' } }, ['script.version']],
    ['a script that is a string', { kind: 'ping', script: '1.0.0' }, ['script']],
    ['a numeric cursor', { kind: 'messages', messages: [], cursor: { from: 1, to: '2' } }, ['cursor.from']],
    ['a cursor without end', { kind: 'messages', messages: [], cursor: { from: '1' } }, ['cursor.to']],
    ['a negative cursor', { kind: 'messages', messages: [], cursor: { from: '1', to: '-2' } }, ['cursor.to']],
    ['a bad missing id', { kind: 'messages', messages: [], missing: ['a', 'b c'] }, ['missing.1']],
    ['missing as a string', { kind: 'messages', messages: [], missing: 'a' }, ['missing']],
    ['failed without error', { kind: 'messages', messages: [], failed: [{ id: 'a' }] }, ['failed.0.error']],
    ['a gap without reason', { kind: 'messages', messages: [], gap: { from: '1' } }, ['gap.reason']],
    ['a backlog of half a mail', { kind: 'messages', messages: [], backlog: 0.5 }, ['backlog']],
    ['a pause that is no boolean', { kind: 'messages', messages: [], paused: 'no' }, ['paused']],
    ['several faults', { kind: 'messages', messages: 1, gap: 1, paused: 1 }, ['messages', 'gap', 'paused']],
    [
      'a plain mail of numbers',
      { subject: 1, sender: 2, body: 3, date: 4 },
      ['subject', 'sender', 'body', 'date'],
    ],
    ['a plain mail without date', { subject: 's', sender: 'a@example.com', body: 'b' }, ['date']],
  ];
  for (const [name, body, paths] of cases) {
    test(name, async () => {
      const response = await service.push(source, JSON.stringify(body));
      assert.deepEqual(faultPaths(await expectProblem(response, 400, 'bad_request')), paths);
    });
  }

  test('an unknown kind is told which there are', async () => {
    const problem = await expectProblem(await service.push(source, '{"kind":"letters"}'), 400, 'bad_request');
    assert.deepEqual(problem.errors, [{ path: 'kind', message: 'must be "messages" or "ping"' }]);
  });

  test('and stores nothing of a batch with a bad frame', async () => {
    const body = batch([gmailItem('bad0f4a3e', mailOf('In a bad frame'))], {
      cursor: { from: 'x', to: 'y' },
    });
    await expectProblem(await service.push(source, body), 400, 'bad_request');
    const again = await service.push(source, batch([gmailItem('bad0f4a3e', mailOf('In a bad frame'))]));
    const { results } = (await again.json()) as { results: { status: string }[] };
    assert.equal(results[0]?.status, 'accepted');
  });
});

describe('a body over the limit gets its 413', () => {
  const large = Buffer.alloc(8 * 1024 * 1024, 'x');
  const routes = () => [source.ingestUrl, rawSource.ingestUrl, `${service.address}/v1/mailboxes`];
  const authorization = { authorization: `Bearer ${ADMIN_TOKEN}`, 'content-type': 'application/json' };

  test('with its length announced', async () => {
    for (const url of routes()) {
      const headers = { ...signatureHeaders(source.secret, large), ...authorization };
      await expectProblem(await fetch(url, { method: 'POST', headers, body: large }), 413, 'body_too_large');
    }
  });

  test('in chunks without a length', async () => {
    for (const url of routes()) {
      const headers = { ...signatureHeaders(source.secret, large), ...authorization };
      const body = new ReadableStream({
        pull(controller) {
          controller.enqueue(large.subarray(0, 64 * 1024));
          if (++pulls % 100 === 0) controller.close();
        },
      });
      let pulls = 0;
      const request = new Request(url, { method: 'POST', headers, body, duplex: 'half' });
      await expectProblem(await fetch(request), 413, 'body_too_large');
    }
  });

  // Apps Script's UrlFetchApp, and most clients that block: a close with bytes unread would reset the connection, and
  // the answer with it.
  async function writeSlowlyThenRead(url: string, isChunked: boolean) {
    const connection = await openRawConnection(service.address, { isEager: false });
    const framing = isChunked ? { 'transfer-encoding': 'chunked' } : { 'content-length': large.length };
    await connection.write(requestHead('POST', url, { ...authorization, ...framing }));
    const pieces = 16;
    for (let piece = 0; piece < pieces; piece++) {
      const bytes = large.subarray(0, large.length / pieces);
      await connection.write(isChunked ? chunkOf(bytes) : bytes);
      // Slow on purpose: beyond the half second for which the server would go on reading by itself.
      await wait(60);
    }
    if (isChunked) await connection.write('0\r\n\r\n');
    const answer = await connection.answer();
    connection.destroy();
    return [answer.status, JSON.parse(answer.body).code];
  }

  for (const isChunked of [false, true]) {
    test(`when the client takes its time and reads last${isChunked ? ', in chunks' : ''}`, async () => {
      const answers = await Promise.all(routes().map((url) => writeSlowlyThenRead(url, isChunked)));
      assert.deepEqual(answers, Array(3).fill([413, 'body_too_large']));
    });
  }

  test('one byte over it as well, and not one at it', async () => {
    for (const [sizeBytes, code] of [
      [LIMIT_BYTES, 'invalid_json'],
      [LIMIT_BYTES + 1, 'body_too_large'],
    ] as const) {
      const response = await service.push(source, large.subarray(0, sizeBytes));
      assert.equal(((await response.json()) as { code: string }).code, code);
    }
  });

  test('and the process is well', expectAlive);
});

describe('a body cut off half way stores nothing', () => {
  const body = Buffer.from(batch([gmailItem('c07', mailOf('Cut off half way'))]));
  const whole = () => [source, body] as const;
  const cases: Record<string, () => readonly [url: string, headers: Record<string, string>, body: Buffer]> = {
    'of a script': () => [whole()[0].ingestUrl, signatureHeaders(source.secret, body), body],
    'of raw mail': () => [rawSource.ingestUrl, signatureHeaders(rawSource.secret, body), body],
    'of the API': () => [
      `${service.address}/v1/mailboxes`,
      { authorization: `Bearer ${ADMIN_TOKEN}`, 'content-type': 'application/json' },
      Buffer.from('{"address":"cut@example.com"}'),
    ],
  };
  for (const [name, request] of Object.entries(cases)) {
    for (const isChunked of [false, true]) {
      test(`${name}, ${isChunked ? 'in chunks' : 'its length announced'}`, async () => {
        const [url, headers, bytes] = request();
        const before = await storedCount();
        lines.length = 0;
        const connection = await openRawConnection(service.address);
        const framing = isChunked ? { 'transfer-encoding': 'chunked' } : { 'content-length': bytes.length };
        const half = bytes.subarray(0, bytes.length / 2);
        await connection.write(requestHead('POST', url, { ...headers, ...framing }));
        await connection.write(isChunked ? chunkOf(half) : half);
        connection.destroy();
        const { pathname } = new URL(url);
        await waitUntil('the request has ended', () => lines.some((line) => line.path === pathname));
        assert.equal(lines.find((line) => line.path === pathname)?.status, 400);
        await expectAlive();
        assert.equal(await storedCount(), before);
        const { body: mailboxes } = await service.api('GET', '/v1/mailboxes');
        assert.ok(!JSON.stringify(mailboxes).includes('cut@example.com'));
      });
    }
  }
});
