import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
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
