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
import { expectProblem } from './problem.ts';
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
      let pulls = 0;
      const body = new ReadableStream({
        pull(controller) {
          controller.enqueue(large.subarray(0, 64 * 1024));
          if (++pulls % 100 === 0) controller.close();
        },
      });
      const request = new Request(url, { method: 'POST', headers, body, duplex: 'half' });
      await expectProblem(await fetch(request), 413, 'body_too_large');
    }
  });

  // Apps Script's UrlFetchApp, and most clients that block: a close with bytes unread would reset the connection, and
  // the answer with it.
  async function writeSlowlyThenRead(url: string, isChunked: boolean) {
    const connection = await openRawConnection(service.address, { isEager: false });
    const framing = isChunked ? { 'transfer-encoding': 'chunked' } : { 'content-length': large.length };
    const headers = { ...signatureHeaders(source.secret, large), ...authorization, ...framing };
    await connection.write(requestHead('POST', url, headers));
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
  const cases: Record<string, () => readonly [url: string, headers: Record<string, string>, body: Buffer]> = {
    'of a script': () => [source.ingestUrl, signatureHeaders(source.secret, body), body],
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
