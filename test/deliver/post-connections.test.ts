import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { describe, test } from 'node:test';
import { closed, createTestPoster, outcomeOf, serveHttp, serveRaw } from './consumer.ts';

const ANSWER = 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n';

describe('connections', () => {
  test('are used again', async (t) => {
    const consumer = await serveHttp(t, (_request, response) => response.end('ok'));
    const { post } = createTestPoster(t);
    for (let count = 0; count < 50; count++) assert.equal(outcomeOf(await post(consumer.url)), 200);
    // undici rests a connection for one turn of the event loop, and a post that follows at once takes a second.
    assert.ok(consumer.sockets.length <= 2, String(consumer.sockets.length));
  });

  test('are no more than allowed, and none is left when they are idle', async (t) => {
    const consumer = await serveHttp(t, (_request, response) => response.end('ok'));
    const { post } = createTestPoster(t, { connectionsPerOrigin: 3, idleMs: 100 });
    const results = await Promise.all(Array.from({ length: 200 }, () => post(consumer.url)));
    assert.ok(results.every((result) => result.statusCode === 200));
    assert.ok(consumer.sockets.length <= 3, String(consumer.sockets.length));
    await Promise.all(consumer.sockets.map(closed));
    assert.equal(outcomeOf(await post(consumer.url)), 200, 'a new one is made when needed');
  });

  test('gather no listeners', async (t) => {
    const warnings: string[] = [];
    const onWarning = (warning: Error) => warnings.push(warning.message);
    process.on('warning', onWarning);
    t.after(() => process.off('warning', onWarning));
    const consumer = await serveHttp(t, (_request, response) => response.end('ok'));
    const { post } = createTestPoster(t, { connectionsPerOrigin: 1 });
    for (let count = 0; count < 100; count++) await post(consumer.url);
    assert.deepEqual(warnings, []);
  });

  test('are not spent on posts that waited too long for one', async (t) => {
    const held: ServerResponse[] = [];
    const consumer = await serveHttp(t, (request, response) => {
      if (request.url === '/held') held.push(response);
      else response.end('ok');
    });
    const { post } = createTestPoster(t, { connectionsPerOrigin: 2, timeoutMs: 1000 });
    const paths = ['/held', '/held', '/late', '/late', '/late'];
    const results = await Promise.all(paths.map((path) => post(consumer.url + path)));
    const missing = results.map((result) => result.error?.message.match(/no (\w+) within/)?.[1]);
    assert.deepEqual(missing, ['answer', 'answer', 'connection', 'connection', 'connection']);
    assert.equal(outcomeOf(await post(`${consumer.url}/next`)), 200);
    assert.deepEqual(consumer.paths, ['/held', '/held', '/next'], 'what was given up is not sent');
  });
});

describe('a kept connection that the consumer closes', () => {
  /** Answers the first request of a connection; `onSecond` has the next. */
  const answerOnce = (onSecond: (socket: Socket) => void) => {
    const used = new WeakSet<Socket>();
    return (socket: Socket) => {
      if (used.has(socket)) return onSecond(socket);
      used.add(socket);
      socket.write(ANSWER);
    };
  };
  const breaks: [string, (socket: Socket) => void][] = [
    ['in the usual way', (socket) => socket.end()],
    ['with a reset', (socket) => socket.resetAndDestroy()],
  ];
  for (const [name, onSecond] of breaks)
    test(`${name} while we write is no failure: the post goes out again on a fresh one`, async (t) => {
      const consumer = await serveRaw(t, answerOnce(onSecond));
      const { post } = createTestPoster(t, { connectionsPerOrigin: 1 });
      for (let count = 0; count < 3; count++) assert.equal(outcomeOf(await post(consumer.url)), 200);
      assert.ok(consumer.sockets.length >= 2);
    });

  test('between two posts is not even noticed', async (t) => {
    const consumer = await serveHttp(t, (_request, response) => response.end('ok'));
    const { post } = createTestPoster(t, { connectionsPerOrigin: 1 });
    await post(consumer.url);
    consumer.sockets[0]?.end();
    await closed(consumer.sockets[0]);
    assert.equal(outcomeOf(await post(consumer.url)), 200);
    assert.equal(consumer.paths.length, 2);
  });

  test('is tried once more and not again', async (t) => {
    let requests = 0;
    const consumer = await serveRaw(t, (socket) => {
      requests++;
      if (requests === 1) socket.write(ANSWER);
      else socket.resetAndDestroy();
    });
    const { post } = createTestPoster(t, { connectionsPerOrigin: 1 });
    assert.equal(outcomeOf(await post(consumer.url)), 200);
    assert.equal(outcomeOf(await post(consumer.url)), 'connection');
    assert.equal(requests, 3);
    assert.equal(outcomeOf(await post(consumer.url)), 'connection');
    assert.equal(requests, 4, 'a fresh connection that breaks has failed');
  });

  test('does not prolong the deadline', async (t) => {
    const consumer = await serveRaw(t, (socket) => {
      if (consumer.sockets.length > 1) return;
      if (socket.bytesWritten === 0) socket.write(ANSWER);
      else socket.end();
    });
    const { post } = createTestPoster(t, { connectionsPerOrigin: 1, timeoutMs: 1000 });
    assert.equal(outcomeOf(await post(consumer.url)), 200);
    const result = await post(consumer.url);
    assert.equal(outcomeOf(result), 'timeout');
    assert.equal(consumer.sockets.length, 2);
    await closed(consumer.sockets[1]);
  });
});

describe('close', () => {
  test('waits for what is under way, ends every connection and takes nothing more', async (t) => {
    const arrived = Promise.withResolvers<ServerResponse>();
    const consumer = await serveHttp(t, (_request, response) => arrived.resolve(response));
    const { post, close } = createTestPoster(t, { idleMs: 60_000 });
    const result = post(consumer.url);
    const response = await arrived.promise;
    const isClosed = close();
    await assert.rejects(post(consumer.url), { code: 'internal' });
    response.end('late but whole');
    assert.equal((await result).responseExcerpt, 'late but whole');
    await isClosed;
    await closed(consumer.sockets[0]);
    await close();
  });

  test('is over with the deadline of what hangs', async (t) => {
    const consumer = await serveHttp(t, () => {});
    const { post, close } = createTestPoster(t, { timeoutMs: 1000 });
    const result = post(consumer.url);
    await close();
    assert.equal(outcomeOf(await result), 'timeout');
    await closed(consumer.sockets[0]);
  });
});
