import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { startCommands } from '../support/commands.ts';
import { addConsumer } from '../support/deliveries.ts';
import {
  ADMIN_TOKEN,
  addSource,
  batch,
  gmailItem,
  mailOf,
  startTestService,
  type TestService,
} from '../support/service.ts';

let service: TestService;
const commands = startCommands();
before(async () => {
  service = await startTestService();
  const source = await addSource(service);
  await service.push(source, batch([gmailItem('7c1', mailOf('One')), gmailItem('7c2', mailOf('Two'))]));
});
after(async () => {
  await commands[Symbol.asyncDispose]();
  await service.dispose();
});

const runAt = (url: string, ...args: string[]) =>
  commands.run(['endpoint', ...args], { MAILGRESS_PUBLIC_URL: url, MAILGRESS_ADMIN_TOKEN: ADMIN_TOKEN });
const run = (...args: string[]) => runAt(service.address, ...args);
const EVER = ['--since', '2020-01-01'];

async function disable(id: string): Promise<void> {
  assert.equal((await service.api('POST', `/v1/endpoints/${id}/disable`)).status, 200);
}

test('a test of an endpoint that is disabled says so at once, why, and what to do; nothing is queued', async () => {
  await using consumer = await addConsumer(service);
  await disable(consumer.id);
  const startedMs = performance.now();
  const { code, told } = await run('test', consumer.id);
  assert.deepEqual(told, [
    `mailgress: Endpoint ${consumer.id} is disabled (disabled by request): nothing is sent to it until \`mailgress endpoint update ${consumer.id} --enable\``,
  ]);
  assert.equal(code, 65);
  assert.ok(performance.now() - startedMs < 18_000, 'it waited for an attempt');
  const { body } = await service.api('GET', `/v1/deliveries?endpoint=${consumer.id}`);
  assert.deepEqual(body.data, []);
});

test('a replay is not waited for where the endpoint is disabled; else it is made, and that is told', async () => {
  await using consumer = await addConsumer(service);
  await disable(consumer.id);
  const waited = await run('replay', consumer.id, ...EVER, '--wait');
  assert.equal(waited.code, 65);
  assert.match(waited.stderr, /is disabled \(disabled by request\): .* endpoint update ep_\w+ --enable`\n$/);
  const made = await run('replay', consumer.id, ...EVER);
  assert.equal(made.code, 0);
  assert.match(made.stdout, /^rpl_\w+ {2}running {2}0 of 2 sent\n$/);
  assert.match(made.stderr, /is disabled \(disabled by request\): a replay sends nothing until `/);
  const { body } = await service.api('GET', `/v1/replays?endpoint=${consumer.id}`);
  assert.equal(body.data.length, 1);
});

test('a wait for a replay shows how far it is, and ends when the endpoint is disabled', async () => {
  await using consumer = await addConsumer(service, (response) => response.writeHead(500).end());
  const running = run('replay', consumer.id, ...EVER, '--wait');
  await consumer.waitFor(2);
  await disable(consumer.id);
  const { code, stdout, told } = await running;
  assert.equal(code, 65);
  assert.equal(stdout, '');
  assert.match(told[0] ?? '', /^rpl_\w+ {2}running {2}0 of 2 sent$/);
  assert.match(
    told.at(-1) ?? '',
    /is disabled \(disabled by request\): replay rpl_\w+ stays at 0 of 2 sent until `mailgress endpoint update/,
  );
});

test('a wait for a replay goes on after a service that was busy', async () => {
  await using consumer = await addConsumer(service);
  let refusals = 0;
  // What stands before a service, and has none for a while.
  const proxy = createServer(async (request, response) => {
    if (request.url?.startsWith('/v1/replays/') && refusals < 2) {
      refusals++;
      return response.writeHead(503, { 'content-type': 'text/html' }).end('busy');
    }
    const { method = 'GET', headers } = request;
    const body = await buffer(request);
    const { authorization = '' } = headers;
    const answer = await fetch(`${service.address}${request.url}`, {
      method,
      headers: { authorization, 'content-type': 'application/json' },
      ...(method === 'POST' && { body: new Uint8Array(body) }),
    });
    const contentType = answer.headers.get('content-type') ?? '';
    response.writeHead(answer.status, { 'content-type': contentType }).end(await answer.text());
  }).listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const url = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  const { code, stdout, stderr } = await runAt(url, 'replay', consumer.id, ...EVER, '--wait');
  proxy.close();
  proxy.closeAllConnections();
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^rpl_\w+ {2}completed {2}2 of 2 sent\n$/);
  assert.equal(refusals, 2);
  assert.equal(stderr.match(/lost the service \(.*503.*again in/g)?.length, 2, stderr);
});
