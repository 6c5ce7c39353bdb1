import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { after, before, test } from 'node:test';
import { reportSchema } from '../../src/doctor/report.ts';
import { createTestDatabase } from '../support/database.ts';
import { ADMIN_TOKEN, startTestService, type TestService } from '../support/service.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';

let service: TestService;
before(async () => {
  service = await startTestService();
});
after(() => service.dispose());

const ask = (key: string, at = service) =>
  fetch(`${at.address}/v1/doctor`, { headers: { authorization: `Bearer ${key}` } });

test('an admin gets the report of the process that is asked, and it is kept by nobody', async () => {
  const response = await ask(ADMIN_TOKEN);
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('cache-control'), 'no-store');
  const report = reportSchema.parse(await response.json());
  assert.deepEqual([report.failures, report.warnings], [0, 0], JSON.stringify(report));
  const url = report.checks.find(({ id }) => id === 'public-url.reach');
  assert.deepEqual([url?.subject, url?.level], [service.address, 'ok']);
});

test('a key of a lesser role, or of a tenant whatever its role, is told 403', async () => {
  for (const body of [{ role: 'reader' }, { role: 'operator' }, { role: 'admin', tenant: 'acme' }]) {
    const { body: made } = await service.api('POST', '/v1/keys', body);
    const response = await ask(made.key);
    const problem = (await response.json()) as { code: string };
    assert.deepEqual([response.status, problem.code], [403, 'forbidden'], JSON.stringify(body));
  }
  const { body: admin } = await service.api('POST', '/v1/keys', { role: 'admin' });
  assert.equal((await ask(admin.key)).status, 200);
  assert.equal((await ask('no-key')).status, 401);
});

test('who asks during a run gets that run, and the next one is another', async () => {
  let connections = 0;
  const server = createServer((socket) => {
    connections++;
    socket.on('error', () => {}).resume();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    const { port } = server.address() as AddressInfo;
    await service.api('POST', '/v1/endpoints', { url: `http://127.0.0.1:${port}/` });
    const answers = await Promise.all(Array.from({ length: 5 }, async () => (await ask(ADMIN_TOKEN)).text()));
    assert.equal(new Set(answers).size, 1);
    assert.equal(connections, 1);
    await ask(ADMIN_TOKEN);
    assert.equal(connections, 2);
  } finally {
    server.close();
  }
});

test('with the database away it answers all the same, and says so', async () => {
  const database = await createTestDatabase();
  const proxy = await startTcpProxy(database.url);
  const cutOff = await startTestService({ databaseUrl: proxy.url });
  try {
    await proxy.refuse();
    const response = await ask(ADMIN_TOKEN, cutOff);
    assert.equal(response.status, 200);
    const report = reportSchema.parse(await response.json());
    const failed = report.checks.filter(({ level }) => level === 'fail');
    assert.deepEqual(
      failed.map(({ id }) => id),
      ['database.reach'],
    );
    assert.match(failed[0]?.message ?? '', /out of reach/);
  } finally {
    await cutOff.dispose();
    await proxy[Symbol.asyncDispose]();
    await database.drop();
  }
});
