import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer as createTlsServer } from 'node:https';
import { describe, test } from 'node:test';
import { createTestPoster, listen, outcomeOf, serveHttp, serveRaw } from './consumer.ts';

const pem = (name: string) =>
  readFileSync(new URL(`../fixtures/tls/hooks.test.${name}.pem`, import.meta.url), 'utf8');

describe('post', () => {
  test('sends the body and headers as they are, and gives status, text and time', async (t) => {
    const body = Buffer.from([0x7b, 0xff, 0x00, 0x7d]);
    let seen: unknown[] = [];
    const consumer = await serveRaw(t, (socket, data) => {
      seen = data.split('\r\n');
      socket.write('HTTP/1.1 202 Accepted\r\ncontent-length: 6\r\n\r\nthanks');
    });
    const { post } = createTestPoster(t);
    const result = await post(`${consumer.url}/hook?x=1#part`, {
      headers: { 'content-type': 'application/json', 'webhook-id': 'evt_1' },
      body,
    });

    const { durationMs, ...rest } = result;
    assert.deepEqual(rest, {
      statusCode: 202,
      error: null,
      responseExcerpt: 'thanks',
      retryAfter: undefined,
    });
    assert.ok(durationMs >= 0 && Number.isInteger(durationMs));
    assert.deepEqual(seen, [
      'POST /hook?x=1 HTTP/1.1',
      `host: 127.0.0.1:${consumer.port}`,
      'connection: keep-alive',
      'content-type: application/json',
      'webhook-id: evt_1',
      'user-agent: Mailgress/test',
      'content-length: 4',
      '',
      String(body),
    ]);
  });

  test('does not follow a redirect', async (t) => {
    const consumer = await serveHttp(t, (_request, response) => {
      response.writeHead(307, { location: '/elsewhere' }).end();
    });
    assert.equal(outcomeOf(await createTestPoster(t).post(`${consumer.url}/hook`)), 307);
    assert.deepEqual(consumer.paths, ['/hook']);
  });

  test('gives the status and the Retry-After of a refusal', async (t) => {
    const consumer = await serveHttp(t, (request, response) => {
      response.writeHead(Number(request.url?.slice(1)), { 'retry-after': '120' }).end('no');
    });
    const { post } = createTestPoster(t);
    for (const status of [400, 410, 429, 503]) {
      const result = await post(`${consumer.url}/${status}`);
      assert.equal(result.statusCode, status);
      assert.equal(result.retryAfter, '120');
      assert.equal(result.responseExcerpt, 'no');
    }
  });

  const answers: [string, string | Buffer, string][] = [
    ['nothing', '', ''],
    ['what is no UTF-8', Buffer.from([0x61, 0xff, 0x62]), 'a\ufffdb'],
    ['NUL', 'a\0b', 'a\ufffdb'],
    ['1 KiB', 'x'.repeat(1024), 'x'.repeat(1024)],
    ['more', 'x'.repeat(60_000), 'x'.repeat(1024)],
    ['a character on the edge', `${'x'.repeat(1022)}😀😀`, 'x'.repeat(1022)],
  ];
  for (const [name, body, expected] of answers)
    test(`keeps of an answer with ${name} what PostgreSQL can hold`, async (t) => {
      const consumer = await serveHttp(t, (_request, response) => response.end(body));
      const { responseExcerpt } = await createTestPoster(t).post(consumer.url);
      assert.equal(responseExcerpt, expected);
    });

  test('reports a request it cannot send, and goes on with the next', async (t) => {
    const consumer = await serveHttp(t, (_request, response) => response.end());
    const { post } = createTestPoster(t, { connectionsPerOrigin: 2 });
    for (const headers of [
      { 'a b': 'x' },
      { a: 'x\r\ny: z' },
      { a: '😀' },
      { Host: 'x' },
      { 'transfer-encoding': 'chunked' },
      { Expect: '100-continue' },
    ])
      assert.equal(outcomeOf(await post(consumer.url, { headers })), 'invalid_request');
    assert.equal(outcomeOf(await post(consumer.url)), 200);
  });
});

describe('post, where nothing answers', () => {
  test('tells a refused connection, also to those that wait for a free one', async (t) => {
    const { post } = createTestPoster(t, { connectionsPerOrigin: 2 });
    // tcpmux, which nobody runs.
    const results = await Promise.all(Array.from({ length: 50 }, () => post('http://127.0.0.1:1/')));
    assert.deepEqual([...new Set(results.map(outcomeOf))], ['connection']);
    assert.match(results[0]?.error?.message ?? '', /ECONNREFUSED/);
  });

  test('tells a name without address from one that may not be called', async (t) => {
    const { post } = createTestPoster(t, {
      lookup: async (host) => (host === 'inside.test' ? [{ address: '10.0.0.1', family: 4 }] : []),
    });
    assert.equal(outcomeOf(await post('http://nowhere.test/')), 'dns');
    assert.equal(outcomeOf(await post('https://inside.test/')), 'egress_blocked');
    assert.equal(outcomeOf(await post('http://192.168.0.1/')), 'egress_blocked');
    assert.equal(outcomeOf(await post('ftp://nowhere.test/')), 'egress_blocked');
    assert.equal(outcomeOf(await post('nonsense')), 'egress_blocked');
  });

  test('connects to the address that was judged, although the name has moved since', async (t) => {
    const consumer = await serveHttp(t, (_request, response) => response.end());
    const answers = ['127.0.0.1', '169.254.169.254'];
    const { post } = createTestPoster(t, {
      lookup: async () => [{ address: answers.shift() ?? '10.0.0.1', family: 4 }],
    });
    assert.equal(outcomeOf(await post(`http://rebind.test:${consumer.port}/`)), 200);
    assert.deepEqual(answers, ['169.254.169.254'], 'one lookup for one connection');
    const other = createTestPoster(t, { lookup: async () => [{ address: answers[0] ?? '', family: 4 }] });
    assert.equal(outcomeOf(await other.post(`http://rebind.test:${consumer.port}/`)), 'egress_blocked');
  });

  test('tries the other addresses of a name', async (t) => {
    const consumer = await serveHttp(t, (_request, response) => response.end());
    const { post } = createTestPoster(t, {
      // Nothing listens on ::1 at this port.
      lookup: async () => [
        { address: '::1', family: 6 },
        { address: '127.0.0.1', family: 4 },
      ],
    });
    assert.equal(outcomeOf(await post(`http://both.test:${consumer.port}/`)), 200);
  });
});

describe('post over TLS', () => {
  test('goes by the name in certificate, SNI and Host, and by the checked address', async (t) => {
    const asked: unknown[] = [];
    const server = createTlsServer({ key: pem('key'), cert: pem('cert') }, (request, response) => {
      asked.push(request.headers.host, 'servername' in request.socket && request.socket.servername);
      response.end('ok');
    });
    const { port } = await listen(t, server);
    const lookup = async () => [{ address: '127.0.0.1', family: 4 }];

    const { post } = createTestPoster(t, { lookup, ca: pem('cert') });
    assert.equal(outcomeOf(await post(`https://hooks.test:${port}/`)), 200);
    assert.deepEqual(asked, [`hooks.test:${port}`, 'hooks.test']);

    assert.equal(outcomeOf(await post(`https://other.test:${port}/`)), 'tls', 'another name');
    assert.equal(outcomeOf(await post(`https://127.0.0.1:${port}/`)), 'tls', 'no name');
    const trusting = createTestPoster(t, { lookup });
    assert.equal(outcomeOf(await trusting.post(`https://hooks.test:${port}/`)), 'tls', 'unknown authority');
    assert.equal(asked.length, 2);
  });

  test('reports a peer that speaks no TLS', async (t) => {
    const consumer = await serveRaw(t, (socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    assert.equal(outcomeOf(await createTestPoster(t).post(`https://127.0.0.1:${consumer.port}/`)), 'tls');
  });
});
