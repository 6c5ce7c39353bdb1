import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { waitUntil } from '../support/embedded-place.ts';
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
import { expectProblem } from './problem.ts';

let service: TestService;
let source: PushSource;
before(async () => {
  service = await startTestService({ dispatch: false });
  source = await addSource(service);
});
after(() => service.dispose());

let mails = 0;
/** Another event in the log. @returns the id of its message. */
async function addMail(body = 'Hello', to = service): Promise<string> {
  const id = (++mails + 0xabc000).toString(16);
  const answer = await to.push(source, batch([gmailItem(id, mailOf(`Mail ${mails}`, body))]));
  // biome-ignore lint/suspicious/noExplicitAny: one field of the answer
  return ((await answer.json()) as any).results[0].messageId;
}

type StreamEvent = { id: string; data: { id: string; type: string; cursor: string } };

/** A client of the stream that keeps what comes. */
async function follow(query = '', headers: Record<string, string> = {}, at = service.address) {
  const abort = new AbortController();
  const response = await fetch(`${at}/v1/events/stream${query}`, {
    headers: { authorization: `Bearer ${ADMIN_TOKEN}`, ...headers },
    signal: abort.signal,
  });
  const events: StreamEvent[] = [];
  let text = '';
  let lastId = '';
  const ended = (async () => {
    for await (const bytes of response.body ?? []) {
      text += Buffer.from(bytes).toString();
      const blocks = text.split('\n\n');
      text = blocks.pop() ?? '';
      for (const block of blocks) {
        const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1];
        const data = field('data');
        lastId = field('id') ?? lastId;
        if (data !== undefined) events.push({ id: field('id') ?? '', data: JSON.parse(data) });
      }
    }
  })().catch((error: Error) => error);
  return {
    response,
    events,
    lastId: () => lastId,
    isReady: () => waitUntil('it follows', () => lastId !== ''),
    has: (count: number) => waitUntil(`${count} events have come`, () => events.length >= count),
    leave: () => abort.abort(),
    ended,
  };
}

const idsOf = (events: StreamEvent[]) => events.map(({ data }) => data.id.replace('evt_', 'msg_'));

test('sends what comes, as GET /v1/events has it, with its cursor as the id', async () => {
  const client = await follow();
  assert.equal(client.response.status, 200);
  assert.equal(client.response.headers.get('content-type'), 'text/event-stream');
  assert.equal(client.response.headers.get('cache-control'), 'no-store');
  await client.isReady();
  const id = await addMail();
  await client.has(1);
  assert.deepEqual(idsOf(client.events), [id]);
  const { body } = await service.api('GET', `/v1/events?limit=500`);
  const [event] = client.events;
  assert.deepEqual(event?.data, body.data.at(-1));
  assert.equal(event?.id, event?.data.cursor);
  client.leave();
});

test('resumes behind Last-Event-ID, which counts before `after`', async () => {
  const first = await follow();
  await first.isReady();
  const ids = [await addMail(), await addMail(), await addMail()];
  await first.has(3);
  first.leave();
  const [one, two] = first.events;
  const again = await follow('?after=start', { 'last-event-id': one?.id ?? '' });
  const behind = await follow(`?after=${two?.id}`);
  await again.has(2);
  await behind.has(1);
  assert.deepEqual(idsOf(again.events), ids.slice(1));
  assert.deepEqual(idsOf(behind.events), ids.slice(2));
  again.leave();
  behind.leave();
});

test('goes on where a client was although nothing had come: the id it was given first says so', async () => {
  const client = await follow();
  await client.isReady();
  client.leave();
  const id = await addMail();
  const again = await follow('', { 'last-event-id': client.lastId() });
  await again.has(1);
  assert.deepEqual(idsOf(again.events), [id]);
  again.leave();
});

test('says where it begins with the first bytes: who is cut off before anything else comes goes on from there', async () => {
  const response = await fetch(`${service.address}/v1/events/stream?after=now`, {
    headers: { authorization: `Bearer ${ADMIN_TOKEN}` },
  });
  const reader = response.body?.getReader();
  const { value } = (await reader?.read()) ?? {};
  await reader?.cancel();
  const [, lastId = ''] = /^id: (\S+)$/m.exec(Buffer.from(value ?? []).toString()) ?? [];
  assert.notEqual(lastId, '');
  const id = await addMail();
  const again = await follow('?after=now', { 'last-event-id': lastId });
  await again.has(1);
  assert.deepEqual(idsOf(again.events), [id]);
  again.leave();
});

test('sends the wanted types alone, from the beginning on', async () => {
  const all = await follow('?after=start&types=message.received,gap.opened');
  const none = await follow('?after=start&types=gap.opened');
  const { body } = await service.api('GET', '/v1/events?limit=500');
  await all.has(body.data.length);
  await none.isReady();
  await addMail();
  await all.has(body.data.length + 1);
  assert.equal(none.events.length, 0);
  all.leave();
  none.leave();
});

const beyond = Buffer.from(`999999999999999999.${'0'.repeat(32)}`).toString('base64url');

for (const [what, query, path] of [
  ['a cursor of another list', '?after=bXNnXzAx', 'after'],
  ['a place that the log has not come to', `?after=${beyond}`, 'after'],
  ['a type that there is not', '?types=message.recieved', 'types'],
  ['no type', '?types=', 'types'],
  ['an unknown field', '?since=now', ''],
] as const) {
  test(`refuses ${what}`, async () => {
    const response = await fetch(`${service.address}/v1/events/stream${query}`, {
      headers: { authorization: `Bearer ${ADMIN_TOKEN}` },
    });
    const problem = await expectProblem(response, 400, 'bad_request');
    assert.equal(problem.errors?.[0]?.path, path);
  });
}

test('the log refuses a place that it has not come to, and says so', async () => {
  const { status, body } = await service.api('GET', `/v1/events?after=${beyond}`);
  assert.equal(status, 400);
  assert.equal(body.errors[0].path, 'after');
});

test('refuses a Last-Event-ID that is none, and who has no key', async () => {
  const headers = { authorization: `Bearer ${ADMIN_TOKEN}`, 'last-event-id': 'x' };
  const bad = await fetch(`${service.address}/v1/events/stream`, { headers });
  await expectProblem(bad, 400, 'bad_request');
  await expectProblem(await fetch(`${service.address}/v1/events/stream`), 401, 'unauthorized');
});

test('hears of what another process stores', async () => {
  const other = await startTestService({ databaseUrl: service.databaseUrl, dispatch: false });
  const client = await follow('', {}, other.address);
  await client.isReady();
  const id = await addMail();
  await client.has(1);
  assert.deepEqual(idsOf(client.events), [id]);
  client.leave();
  await other.stop();
});

/** Asks for the stream, and reads nothing. */
async function followWithoutReading(): Promise<Socket> {
  const { hostname, port } = new URL(service.address);
  const socket = connect(Number(port), hostname);
  await once(socket, 'connect');
  socket.write(`GET /v1/events/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${ADMIN_TOKEN}\r\n\r\n`);
  await once(socket, 'readable');
  return socket;
}

test('drops a client that does not read, which resumes; one that reads gets everything', async () => {
  const slow = await followWithoutReading();
  const quick = await follow();
  await quick.isReady();
  const ids: string[] = [];
  // Until what the kernel takes for a client is full, and then what we do.
  let isDropped = false;
  slow.once('close', () => {
    isDropped = true;
  });
  slow.on('error', () => {});
  for (let n = 0; n < 80; n++) ids.push(await addMail('x'.repeat(250_000)));
  await quick.has(ids.length);
  assert.deepEqual(idsOf(quick.events), ids);
  let bytes = 0;
  slow.on('data', (chunk) => {
    bytes += chunk.length;
  });
  await waitUntil('it is dropped', () => isDropped);
  assert.ok(bytes < ids.length * 250_000, 'it did not get all');
  quick.leave();
});

async function clientCount(): Promise<number> {
  const headers = { authorization: `Bearer ${ADMIN_TOKEN}` };
  const text = await (await fetch(`${service.address}/metrics`, { headers })).text();
  return Number(/^mailgress_feed_clients (\d+)$/m.exec(text)?.[1]);
}

test('forgets clients that leave, however they do, and keeps none for HEAD', async () => {
  await waitUntil('those of other tests have gone', async () => (await clientCount()) === 0);
  const one = await follow();
  const two = await followWithoutReading();
  await one.isReady();
  assert.equal(await clientCount(), 2);
  const head = await fetch(`${service.address}/v1/events/stream`, {
    method: 'HEAD',
    headers: { authorization: `Bearer ${ADMIN_TOKEN}` },
  });
  assert.equal(head.headers.get('content-type'), 'text/event-stream');
  assert.equal(await clientCount(), 2);
  one.leave();
  two.destroy();
  await waitUntil('they are forgotten', async () => (await clientCount()) === 0);
});

test('a stop of the service ends streams in order, at once', async () => {
  const other = await startTestService({ databaseUrl: service.databaseUrl, dispatch: false });
  const client = await follow('', {}, other.address);
  await client.isReady();
  const startedMs = performance.now();
  await other.stop();
  assert.equal(await client.ended, undefined, 'as a whole answer ends');
  assert.ok(performance.now() - startedMs < 8000);
});
