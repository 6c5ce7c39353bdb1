import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, test } from 'node:test';
import { createClient } from '../../src/cli/client.ts';
import { followEvents } from '../../src/cli/follow-events.ts';
import { readConfig } from '../../src/config.ts';

test('a service that takes the connection and never answers is told as silent', async () => {
  const server = createServer(() => {}).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const client = await createClient(readConfig({}), { url, token: 'a-token' });
  const { signal } = new AbortController();
  const steps = followEvents(client, { after: 'now', types: undefined, signal, silentMs: 300 });
  await assert.rejects(steps.next(), { code: 'service_unavailable', message: /silent for 0\.3 s/ });
  // The connection was given up: else this would wait for it.
  server.close();
  await once(server, 'close');
});

test('a service that ends each stream at once is asked ever less often', async () => {
  const server = createServer((_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).end('retry: 1000\nid: here\n\n');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const client = await createClient(readConfig({}), { url, token: 'a-token' });
  const stopping = new AbortController();
  const waits: number[] = [];
  const onBreak = (_: unknown, waitMs: number) => {
    if (waits.push(waitMs) === 3) stopping.abort();
  };
  const { signal } = stopping;
  for await (const step of followEvents(client, { after: 'now', types: undefined, signal, onBreak })) {
    assert.deepEqual(step, { cursor: 'here', event: undefined });
  }
  server.close();
  server.closeAllConnections();
  assert.deepEqual(waits, [500, 1000, 2000]);
});

/** A service that says this on every stream, and then leaves it open. */
async function startStream(text: string) {
  const server = createServer((_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write(text);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const client = await createClient(readConfig({}), { url, token: 'a-token' });
  const { signal } = new AbortController();
  return {
    steps: followEvents(client, { after: 'now', types: undefined, signal, silentMs: 30_000 }),
    [Symbol.dispose]() {
      server.close();
      server.closeAllConnections();
    },
  };
}

function eventOf(subject: string) {
  const data = { subject };
  return { id: 'evt_1', type: 'message.received', timestamp: '2026-11-01T00:00:00Z', cursor: 'there', data };
}

test('an event whose mail holds line ends of Unicode is given whole, with every other character', async () => {
  const event = eventOf('a\u2028b\u2029c\u0085d: e\u00a0\ud83d\ude00');
  const text = `retry: 1000\nid: here\n\n:\n\n:\nid: on\n\nid: there\ndata: ${JSON.stringify(event)}\n\n`;
  assert.ok(text.includes('\u2028') && text.includes('\u2029'));
  using stream = await startStream(text);
  const taken = [];
  while (taken.length < 3) taken.push((await stream.steps.next()).value);
  assert.deepEqual(taken, [
    { cursor: 'here', event: undefined },
    { cursor: 'on', event: undefined },
    { cursor: 'there', event },
  ]);
  await stream.steps.return(undefined);
});

describe('what is not understood ends it, and no step is taken past it', () => {
  const json = JSON.stringify(eventOf('Secret words'));
  for (const [what, block] of [
    ['a field of another name', `id: there\ndataa: ${json}`],
    ['a line that is no field', `id: there\n${json.slice(1)}`],
    ['data in two lines', `id: there\ndata: ${json.slice(0, 40)}\ndata: ${json.slice(40)}`],
    ['data that is no JSON', `id: there\ndata: ${json.slice(0, -1)}`],
    ['data of another shape', 'id: there\ndata: {}'],
    ['an event without an id', `data: ${json}`],
  ] as const)
    test(what, async () => {
      using stream = await startStream(`id: here\n\n${block}\n\nid: after\n\n`);
      assert.deepEqual((await stream.steps.next()).value, { cursor: 'here', event: undefined });
      await assert.rejects(stream.steps.next(), ({ message }: Error) => !message.includes('Secret'));
    });
});
