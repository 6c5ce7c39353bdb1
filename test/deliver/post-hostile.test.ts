import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { describe, test } from 'node:test';
import { closed, createTestPoster, outcomeOf, serveRaw } from './consumer.ts';

const OK = 'HTTP/1.1 200 OK\r\n';

/** Long enough for an answer to arrive on a busy machine, short enough to wait for. */
const SHORT_MS = 1000;

/** Writes a piece again and again, for as long as the connection lives. */
function drip(socket: Socket, piece: string): void {
  const timer = setInterval(() => socket.write(piece), 10);
  socket.on('close', () => clearInterval(timer));
}

describe('a consumer that takes its time', () => {
  const slow: [string, (socket: Socket) => void][] = [
    ['answers nothing', () => {}],
    [
      'never ends its status line',
      (socket) => {
        socket.write('HTTP/1.1 200 ');
        drip(socket, 'O');
      },
    ],
    [
      'sends headers without end',
      (socket) => {
        socket.write(OK);
        drip(socket, 'a');
      },
    ],
    ['announces an answer for ever', (socket) => drip(socket, 'HTTP/1.1 103 Early Hints\r\n\r\n')],
  ];
  for (const [name, answer] of slow)
    test(`is given up at the deadline if it ${name}, with its connection`, async (t) => {
      const consumer = await serveRaw(t, answer);
      const { post } = createTestPoster(t, { timeoutMs: SHORT_MS });
      assert.equal(outcomeOf(await post(consumer.url)), 'timeout');
      await closed(consumer.sockets[0]);
    });

  test('is given up at the deadline while its TLS handshake hangs', async (t) => {
    const consumer = await serveRaw(t, () => {});
    const { post } = createTestPoster(t, { timeoutMs: SHORT_MS });
    const result = await post(`https://127.0.0.1:${consumer.port}/`);
    assert.equal(outcomeOf(result), 'timeout');
    assert.match(result.error?.message ?? '', /no connection within/);
  });

  test('is given up at the deadline while its DNS hangs', async (t) => {
    const { post } = createTestPoster(t, { timeoutMs: SHORT_MS, lookup: () => new Promise(() => {}) });
    const result = await post('http://hang.test/');
    assert.equal(outcomeOf(result), 'timeout');
    assert.ok(result.durationMs >= SHORT_MS - 1, String(result.durationMs));
  });

  test('has answered with its status, however long the body drags on', async (t) => {
    const consumer = await serveRaw(t, (socket) => {
      socket.write(`${OK}transfer-encoding: chunked\r\n\r\n`);
      drip(socket, '1\r\nx\r\n');
    });
    const { post } = createTestPoster(t, { timeoutMs: 60_000, bodyMs: 100 });
    const result = await post(consumer.url);
    assert.equal(outcomeOf(result), 200);
    assert.match(result.responseExcerpt ?? '', /^x*$/);
    await closed(consumer.sockets[0]);
  });

  test('has answered with its status, if the deadline comes before the time for the body is up', async (t) => {
    const consumer = await serveRaw(t, (socket) => socket.write(`${OK}content-length: 9\r\n\r\nabc`));
    const { post } = createTestPoster(t, { timeoutMs: SHORT_MS, bodyMs: 60_000 });
    const result = await post(consumer.url);
    assert.equal(outcomeOf(result), 200);
    assert.equal(result.responseExcerpt, 'abc');
    await closed(consumer.sockets[0]);
  });
});

describe('a consumer that says too much', () => {
  test('is cut off after 64 KiB of body, with its status kept', async (t) => {
    const block = 'x'.repeat(64 * 1024);
    let written = 0;
    const consumer = await serveRaw(t, (socket) => {
      socket.write(`${OK}content-length: ${2 ** 30}\r\n\r\n`);
      const pour = () => {
        while (!socket.destroyed && written < 2 ** 30) {
          written += block.length;
          if (!socket.write(block)) return;
        }
      };
      socket.on('drain', pour);
      pour();
    });
    const result = await createTestPoster(t).post(consumer.url);
    assert.equal(outcomeOf(result), 200);
    assert.equal(result.responseExcerpt, 'x'.repeat(1024));
    await closed(consumer.sockets[0]);
    // What the socket buffers of both sides swallowed, and no gigabyte.
    assert.ok(written < 64 * 2 ** 20, `${written} bytes`);
  });

  test('is refused with 10,000 headers', async (t) => {
    const consumer = await serveRaw(t, (socket) =>
      socket.write(`${OK}${'a: b\r\n'.repeat(10_000)}content-length: 0\r\n\r\n`),
    );
    assert.equal(outcomeOf(await createTestPoster(t).post(consumer.url)), 'protocol');
    await closed(consumer.sockets[0]);
  });
});

describe('a consumer that speaks its own protocol', () => {
  const answers: [string, string, number | string][] = [
    ['garbage', 'SSH-2.0-OpenSSH_9.6\r\n', 'protocol'],
    ['bytes at random', '\x00\xff\x16\x03\x01', 'protocol'],
    ['a status of words', 'HTTP/1.1 OK\r\n\r\n', 'protocol'],
    ['HTTP/2', 'HTTP/2 200\r\n\r\n', 'protocol'],
    ['two lengths', `${OK}content-length: 1\r\ncontent-length: 2\r\n\r\nab`, 'protocol'],
    ['100 Continue unasked', 'HTTP/1.1 100 Continue\r\n\r\n', 'protocol'],
    [
      'an upgrade',
      'HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n',
      'protocol',
    ],
    ['103 and then 204', 'HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n', 204],
    ['a bad chunk after its status', `${OK}transfer-encoding: chunked\r\n\r\nzz\r\n`, 200],
    ['a second answer', `${OK}content-length: 2\r\n\r\nok${OK}content-length: 2\r\n\r\nno`, 200],
    ['a status of 999', 'HTTP/1.1 999 Whatever\r\ncontent-length: 0\r\n\r\n', 999],
  ];
  for (const [name, answer, expected] of answers)
    test(`is judged ${expected} for ${name}`, async (t) => {
      const consumer = await serveRaw(t, (socket) => socket.write(Buffer.from(answer, 'latin1')));
      assert.equal(outcomeOf(await createTestPoster(t).post(consumer.url)), expected);
      assert.equal(consumer.sockets.length, 1, 'asked once');
    });

  const breaks: [string, (socket: Socket) => void, number | string][] = [
    ['closes without a word', (socket) => socket.end(), 'connection'],
    ['resets the connection', (socket) => socket.resetAndDestroy(), 'connection'],
    ['closes within its headers', (socket) => socket.end(`${OK}a: b\r\n`), 'connection'],
    ['closes within its body', (socket) => socket.end(`${OK}content-length: 9\r\n\r\nabc`), 200],
    ['closes where the body ends', (socket) => socket.end(`${OK}\r\nabc`), 200],
    [
      'resets within its body',
      (socket) => socket.write(`${OK}content-length: 9\r\n\r\nabc`, () => socket.resetAndDestroy()),
      200,
    ],
  ];
  for (const [name, answer, expected] of breaks)
    test(`is judged ${expected} if it ${name}`, async (t) => {
      const consumer = await serveRaw(t, answer);
      assert.equal(outcomeOf(await createTestPoster(t).post(consumer.url)), expected);
    });
});
