import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { createId } from '../../src/core/ids.ts';
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
import { openRawConnection, requestHead } from './raw-connection.ts';

/* Clients that are slow, many or rude. The limits are short here; the service stays well for everybody else. */

/** Nobody asks for these keys: no push has a token. */
const PUSHES = {
  audience: 'https://mailgress.example/v1/ingest/pubsub',
  serviceAccount: 'pusher@my-project.iam.gserviceaccount.com',
  issuer: 'https://accounts.google.com',
  certsUrl: 'http://127.0.0.1:9/certs',
};

let service: TestService;
let source: PushSource;
before(async () => {
  service = await startTestService({
    pubsub: PUSHES,
    httpLimits: { headersMs: 1000, requestMs: 20_000, checkMs: 200, connections: 60 },
    bodyLimits: { paceMs: 2000, maxHeldBytes: 256 * 1024 },
  });
  source = await addSource(service);
});
after(() => service.dispose());

/** A head as of a push: the signature is of another body, which nobody knows before this one is here. */
const pushHead = (headers: Record<string, string | number>) =>
  requestHead('POST', source.ingestUrl, {
    ...signatureHeaders(source.secret, Buffer.from('another')),
    ...headers,
  });

async function expectWell(): Promise<void> {
  assert.equal((await service.push(source, batch([]))).status, 200);
}

/** All that comes until the server closes. */
async function readToEnd(socket: Socket): Promise<string> {
  let text = '';
  socket.on('data', (bytes) => {
    text += bytes.toString('latin1');
  });
  // A byte that crosses the close resets the connection: what had come before counts.
  if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve));
  return text;
}

/** Writes a byte now and then until the other side has had enough. */
async function trickle(socket: Socket, text: string): Promise<void> {
  for (let at = 0; at < text.length && socket.writable; at++) {
    socket.write(text[at] ?? '');
    await wait(50);
  }
}

const open = async () => {
  const { hostname, port } = new URL(service.address);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
};

describe('a connection is closed that', () => {
  test('brings its headers byte by byte, with 408', async () => {
    const socket = await open();
    const ended = readToEnd(socket);
    void trickle(socket, requestHead('POST', source.ingestUrl, { 'x-long': 'x'.repeat(2000) }));
    assert.match(await ended, /^HTTP\/1\.1 408 /);
    await expectWell();
  });

  test('never says anything', async () => {
    await readToEnd(await open());
    await expectWell();
  });

  for (const [name, framing] of [
    ['of a small size', { 'content-length': 5000 }],
    ['of a large size', { 'content-length': 200_000 }],
    ['of a size that it does not tell', { 'transfer-encoding': 'chunked' }],
  ] as const)
    test(`brings a body ${name} byte by byte, with 408`, async () => {
      const socket = await open();
      const ended = readToEnd(socket);
      socket.write(pushHead(framing));
      void trickle(socket, 'transfer-encoding' in framing ? '1\r\nx\r\n'.repeat(500) : 'x'.repeat(2000));
      const answer = await ended;
      assert.match(answer, /^HTTP\/1\.1 408 /);
      assert.match(answer, /body_too_slow/);
      assert.match(answer, /connection: close/i);
      await expectWell();
    });
});

test('a body in pieces of a byte each is refused before there are many', async () => {
  const connection = await openRawConnection(service.address);
  await connection.write(pushHead({ 'transfer-encoding': 'chunked' }));
  await connection.write(`${'1\r\nx\r\n'.repeat(12_000)}0\r\n\r\n`);
  const { status, body } = await connection.answer();
  assert.equal(status, 400, body);
  assert.match(body, /too many pieces/);
  connection.destroy();
  await expectWell();
});

test('headers that are too long are 431', async () => {
  const connection = await openRawConnection(service.address);
  await connection.write(requestHead('POST', source.ingestUrl, { 'x-long': 'x'.repeat(20_000) }));
  assert.equal((await connection.answer()).status, 431);
  connection.destroy();
  await expectWell();
});

test('of more connections than there may be the new ones are closed, and idle ones make room first', async () => {
  // They have had an answer, and idle.
  const idle = await Promise.all(
    Array.from({ length: 30 }, async () => {
      const socket = await open();
      socket.write(requestHead('GET', `${service.address}/healthz`, {}));
      await once(socket, 'data');
      return socket;
    }),
  );
  const busy = await Promise.all(
    Array.from({ length: 30 }, async () => {
      const socket = await open();
      socket.write(pushHead({ 'content-length': 100 }));
      return socket;
    }),
  );
  await Promise.all(idle.map((socket) => socket.closed || once(socket, 'close')));
  await expectWell();
  const more = await Promise.all(
    Array.from({ length: 60 }, async () => {
      const socket = await open();
      socket.write(pushHead({ 'content-length': 100 }));
      return socket;
    }),
  );
  // Who is dropped gets no answer; of those that are not, each would have one within seconds.
  await Promise.race(more.map(readToEnd));
  for (const socket of [...busy, ...more]) socket.destroy();
  await waitUntil('it is counted', async () => {
    const dropped = await metric('mailgress_http_connections_dropped_total').catch(() => 0);
    return dropped > 0;
  });
});

test('many requests at once on one connection are all answered, in their order', async () => {
  const socket = await open();
  const requests = Array.from({ length: 200 }, (_, index) => {
    const body = batch([gmailItem(`9a${index.toString(16).padStart(4, '0')}`, mailOf(`Pipelined ${index}`))]);
    const headers = signatureHeaders(source.secret, Buffer.from(body));
    return requestHead('POST', source.ingestUrl, { ...headers, 'content-length': body.length }) + body;
  });
  const last = requestHead('GET', `${service.address}/healthz`, { connection: 'close' });
  socket.write(requests.join('') + last);
  const answers = (await readToEnd(socket)).split('HTTP/1.1 ').slice(1);
  assert.equal(answers.length, 201);
  const ids = answers.flatMap((answer) => /"id":"(9a\w+)","status":"accepted"/.exec(answer)?.[1] ?? []);
  assert.deepEqual(ids, ids.toSorted());
  assert.equal(ids.length, 200);
});

describe('a client that asks before it sends its body', () => {
  const large = 'x'.repeat(100_000);

  test('is told to go on when it is read', async () => {
    const connection = await openRawConnection(service.address);
    const body = batch([gmailItem('9b0001', mailOf('Asked first', large.slice(0, 70_000)))]);
    const headers = signatureHeaders(source.secret, Buffer.from(body));
    await connection.write(
      requestHead('POST', source.ingestUrl, {
        ...headers,
        'content-length': body.length,
        expect: '100-continue',
      }),
    );
    assert.equal((await connection.answer()).status, 100);
    await connection.write(body);
    await wait(0);
    connection.destroy();
  });

  test('is told no, and not to go on, when it is refused', async () => {
    const busy = await fillBodies();
    const connection = await openRawConnection(service.address);
    await connection.write(pushHead({ 'content-length': large.length, expect: '100-continue' }));
    const { status, head, body } = await connection.answer();
    assert.deepEqual([status, JSON.parse(body).code], [503, 'overloaded']);
    assert.match(head, /^retry-after: [1-9]/im);
    connection.destroy();
    busy.destroy();
  });
});

/** One body that takes all the room there is for large ones, and more, and does not end. */
async function fillBodies(): Promise<Socket> {
  // Beside another one it would be too much.
  await waitUntil('no other body is here', async () => (await heldBytes()) === 0);
  const socket = await open();
  socket.write(pushHead({ 'content-length': 600_000 }));
  socket.write('x'.repeat(400_000));
  await waitUntil('the room is taken', async () => (await heldBytes()) === 400_000);
  return socket;
}

const heldBytes = () => metric('mailgress_bodies_bytes');

async function metric(name: string): Promise<number> {
  const headers = { authorization: `Bearer ${ADMIN_TOKEN}` };
  const text = await (await fetch(`${service.address}/metrics`, { headers })).text();
  return Number(new RegExp(`^${name} (\\d+)`, 'm').exec(text)?.[1] ?? 0);
}

test('without room for large bodies a large push is told to come again, the API too, and small ones are taken', async () => {
  const busy = await fillBodies();
  const large = batch([gmailItem('9c0001', mailOf('Large', 'x'.repeat(70_000)))]);
  const mailbox = { address: 'full@example.com', name: 'x'.repeat(70_000) };
  const response = await service.push(source, large);
  assert.equal(response.status, 503);
  assert.match(response.headers.get('retry-after') ?? '', /^[1-9]/);
  assert.equal((await service.api('POST', '/v1/mailboxes', mailbox)).status, 503);
  await expectWell();
  assert.equal((await service.api('POST', '/v1/mailboxes', { address: 'small@example.com' })).status, 201);
  busy.destroy();
  await waitUntil('there is room', async () => (await heldBytes()) === 0);
  assert.equal((await service.push(source, large)).status, 200);
});

describe('a head that can be of no push is refused while its body is unread, and holds no room:', () => {
  const signed = () => signatureHeaders(source.secret, Buffer.from('another'));
  const cases: Record<string, () => [url: string, headers: Record<string, string>]> = {
    'no signature': () => [source.ingestUrl, {}],
    'half a signature': () => [source.ingestUrl, { ...signed(), 'webhook-signature': 'v1,AAAA' }],
    'a stale timestamp': () => [source.ingestUrl, { ...signed(), 'webhook-timestamp': '1614265330' }],
    'an unknown source': () => [`${service.address}/v1/ingest/apps-script/${createId('src')}`, signed()],
    'a push of Pub/Sub without a token': () => [`${service.address}/v1/ingest/pubsub`, {}],
  };
  for (const [name, request] of Object.entries(cases)) {
    test(name, async () => {
      const [url, headers] = request();
      // Who asks first gets the answer while nothing of the body is here.
      const connection = await openRawConnection(service.address);
      const framing = { 'content-length': 200_000, expect: '100-continue' };
      await connection.write(requestHead('POST', url, { ...headers, ...framing }));
      assert.equal((await connection.answer()).status, 401);
      connection.destroy();

      const slow = await open();
      slow.write(requestHead('POST', url, { ...headers, 'content-length': 200_000 }));
      slow.write('x'.repeat(150_000));
      // Behind it, on a machine of one core as well.
      await expectWell();
      assert.equal(await heldBytes(), 0);
      slow.destroy();
    });
  }
});
