import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, describe, test } from 'node:test';
import { expectProblem } from '../http/problem.ts';
import { startScriptedServer } from '../support/imap/scripted-server.ts';
import { rowIdOf, startTroubledStage } from './trouble.ts';

const stage = await startTroubledStage();
after(() => stage[Symbol.asyncDispose]());

const SECRET = 'a-Refresh-Token-Of-This-Test';

/** A token endpoint that quotes what it was sent. */
const endpoint = createServer((request, response) => {
  request.resume().on('end', () => {
    response.writeHead(400, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ error: 'invalid_request', error_description: `no such token: ${SECRET}` }));
  });
});
await new Promise<void>((resolve) => endpoint.listen(0, '127.0.0.1', resolve));
after(() => endpoint.close());
const tokenUrl = `http://127.0.0.1:${(endpoint.address() as AddressInfo).port}/token`;

const server = await startScriptedServer();
after(() => server.stop());
const { host, port } = server;

async function add(address: string, auth: Record<string, unknown>): Promise<Response> {
  const { body: mailbox } = await stage.service.api('POST', '/v1/mailboxes', { address });
  return stage.send('POST', `/v1/mailboxes/${mailbox.id}/sources`, {
    ...{ kind: 'imap', host, port, security: 'none' },
    auth,
  });
}

const consent = { type: 'oauth', provider: 'custom', refreshToken: SECRET, clientId: 'c' };

describe('a refresh token', () => {
  test('that the token endpoint quotes is in no answer and in no log', async () => {
    const response = await add('quoted@example.com', { ...consent, user: 'quoted', tokenUrl });
    assert.ok(response.status >= 400);
    const text = await response.text();
    assert.match(text, /no such token/);
    assert.ok(!text.includes(SECRET), text);
    assert.ok(!JSON.stringify(stage.lines).includes(SECRET));
  });

  test('is not sent in clear text to the public internet', async () => {
    const response = await add('clear@example.com', { ...consent, user: 'u', tokenUrl: 'http://8.8.8.8/t' });
    const problem = await expectProblem(response, 400, 'egress_blocked');
    assert.match(problem.detail, /https/);
  });
});

describe('a stored password', () => {
  test('is not sent to another host on the word of who may change the source', async () => {
    const created = await add('kept@example.com', { type: 'password', user: 'kept', password: SECRET });
    const { id } = (await created.json()) as { id: string };
    await stage.waitForState(id, 'idle');
    await using other = await startScriptedServer();
    // The same machine by another name: to the service it is another host.
    const change = { host: host === '127.0.0.1' ? 'localhost' : '127.0.0.1', port: other.port };
    const problem = await expectProblem(
      await stage.send('PATCH', `/v1/sources/${id}`, change),
      400,
      'bad_request',
    );
    assert.match(problem.detail, /auth/);
    assert.deepEqual(other.commands, []);
    const both = { ...change, auth: { type: 'password', user: 'kept', password: SECRET } };
    assert.equal((await stage.send('PATCH', `/v1/sources/${id}`, both)).status, 200);
  });

  test('is not sent to another port of the same host', async () => {
    const created = await add('port@example.com', { type: 'password', user: 'port', password: SECRET });
    const { id } = (await created.json()) as { id: string };
    await stage.waitForState(id, 'idle');
    await using other = await startScriptedServer();
    const response = await stage.send('PATCH', `/v1/sources/${id}`, { port: other.port });
    const problem = await expectProblem(response, 400, 'bad_request');
    assert.match(problem.detail, /port.*give `auth`/);
    assert.deepEqual(other.commands, []);
  });

  test('is not sent less safely than it was', async () => {
    await using other = await startScriptedServer();
    const created = await add('safe@example.com', { type: 'password', user: 'safe', password: SECRET });
    const { id } = (await created.json()) as { id: string };
    await stage.waitForState(id, 'idle');
    for (const before of ['tls', 'starttls']) {
      await stage.sql`
        UPDATE sources SET settings = settings || ${JSON.stringify({ security: before, port: other.port })}::text::jsonb
        WHERE id = ${rowIdOf(id)}`;
      const response = await stage.send('PATCH', `/v1/sources/${id}`, { security: 'none' });
      const problem = await expectProblem(response, 400, 'bad_request');
      assert.match(problem.detail, /security.*give `auth`/);
    }
    assert.deepEqual(other.commands, []);
  });

  test('is sent where it was, said in other words', async () => {
    const created = await add('same@example.com', { type: 'password', user: 'same', password: SECRET });
    const { id } = (await created.json()) as { id: string };
    const same = { host: host.toUpperCase(), port, security: 'none' };
    assert.equal((await stage.send('PATCH', `/v1/sources/${id}`, same)).status, 200);
  });
});
