import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer as createHttp } from 'node:http';
import { createServer as createHttps } from 'node:https';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type Id, uuidOf } from '../../src/core/ids.ts';
import { reportSchema } from '../../src/doctor/report.ts';
import { startConsumer } from '../support/consumer.ts';
import { waitUntil } from '../support/embedded-place.ts';
import { createCertificates } from '../support/imap/certificates.ts';
import { assertLine, type DoctorStage, failing, lineOf, runDoctor, startDoctorStage } from './stage.ts';

const directory = await mkdtemp(join(tmpdir(), 'mailgress-doctor-'));
after(() => rm(directory, { recursive: true }));

let stage: DoctorStage;
before(async () => {
  stage = await startDoctorStage();
});
after(() => stage[Symbol.asyncDispose]());

/** Where it listens on loopback, until the tests are over. */
async function listen(server: Server, scheme = 'http'): Promise<string> {
  server.on('connection', (socket) => {
    socket.on('error', () => {});
    after(() => socket.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  after(() => server.close());
  return `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}/hook?token=of-the-consumer`;
}

async function serveTls(kind: 'localhost' | 'wrong-name'): Promise<string> {
  const own = await mkdtemp(join(directory, `${kind}-`));
  const { certPath, keyPath } = await createCertificates(own, kind);
  const [cert, key] = [await readFile(certPath), await readFile(keyPath)];
  return listen(createHttps({ cert, key }), 'https');
}

async function add(url: string): Promise<Id<'ep'>> {
  const { body } = await stage.service.api('POST', '/v1/endpoints', { url });
  return body.id;
}

test('each fault of an endpoint is told by what it is; none is sent anything, and no URL is told whole', async () => {
  const { sql, service } = stage;
  await using consumer = await startConsumer();
  const well = await add(`${consumer.url}?token=of-the-consumer`);
  const silent = await add(await listen(createServer(), 'https'));
  const refuses = await add('http://127.0.0.1:1/');
  const unknown = await add(await serveTls('localhost'));
  const plain = await add((await listen(createHttp())).replace('http:', 'https:'));
  const nowhere = await add('https://nowhere.invalid/');
  const inside = await add('https://example.com/');
  await sql`UPDATE endpoints SET url = 'http://10.0.0.1/' WHERE id = ${uuidOf(inside)}`;
  const asked = await add(`${consumer.url}/asked`);
  await service.api('POST', `/v1/endpoints/${asked}/disable`);
  const gone = await add(`${consumer.url}/gone`);
  await sql`UPDATE endpoints SET is_enabled = false, disabled_reason = 'it answered 410' WHERE id = ${uuidOf(gone)}`;

  const examined = await stage.examine();
  assertLine(examined, `endpoints.${well}`, 'ok', /takes connections/);
  assertLine(examined, `endpoints.${silent}`, 'fail', /does not answer in time|no answer within/, /firewall/);
  assertLine(examined, `endpoints.${refuses}`, 'fail', /cannot be reached: .*ECONNREFUSED/, /port/);
  assertLine(examined, `endpoints.${unknown}`, 'fail', /no secure connection/, /certificate/);
  assertLine(examined, `endpoints.${plain}`, 'fail', /no secure connection/, /certificate/);
  assertLine(examined, `endpoints.${nowhere}`, 'fail', /name is not found|in time/);
  assertLine(examined, `endpoints.${inside}`, 'fail', /may not be reached/, /MAILGRESS_EGRESS_ALLOW/);
  assertLine(examined, 'egress.targets', 'warn', /^refused: 10\.0\.0\.1$/, /MAILGRESS_EGRESS_ALLOW/);
  assertLine(examined, 'egress.rules', 'ok', /reached: 127\.0\.0\.0\/8, ::1; no other/);
  assertLine(examined, `endpoints.${asked}`, 'ok', /disabled by request/);
  assertLine(
    examined,
    `endpoints.${gone}`,
    'fail',
    /disabled: it answered 410/,
    /endpoint update ep_\w+ --enable/,
  );
  assert.equal(failing(examined).length, 7);
  assert.equal(consumer.received.length, 0);
  assert.ok(!examined.text.includes('of-the-consumer'));
  assert.match(lineOf(examined, `endpoints.${well}`).subject, /^http:\/\/127\.0\.0\.1:\d+\/\.\.\.$/);
  await sql`DELETE FROM endpoints`;
});

test('a certificate of another name is told, also where its authority is trusted', async () => {
  const own = await mkdtemp(join(directory, 'other-'));
  const { certPath, keyPath, caPath } = await createCertificates(own, 'wrong-name');
  const [cert, key] = [await readFile(certPath), await readFile(keyPath)];
  const id = await add(await listen(createHttps({ cert, key }), 'https'));
  // What a process trusts is read at its start.
  const { code, stdout } = await runDoctor(['--json'], { ...stage.env, NODE_EXTRA_CA_CERTS: caPath });
  const examined = { report: reportSchema.parse(JSON.parse(stdout)) };
  assert.equal(code, 1);
  assertLine(examined, `endpoints.${id}`, 'fail', /no secure connection: .*altnames/i, /name the host/);
  await stage.sql`DELETE FROM endpoints`;
});

test('one that takes connections and refuses webhooks is told by its last answer', async () => {
  const { service, sql } = stage;
  const broken = createHttp((_request, response) => void response.writeHead(500).end());
  const id = await add(await listen(broken));
  const fail = async (tries: number) => {
    await service.api('POST', `/v1/endpoints/${id}/test`);
    await waitUntil('it has failed', async () => {
      const [row] = await sql`SELECT recent_failures FROM endpoints WHERE id = ${uuidOf(id)}`;
      return row?.recent_failures >= tries;
    });
  };
  const says = /takes connections, and none of the webhooks since \d+ \w+ ago; the last time it answered 500/;
  await fail(1);
  assertLine(await stage.examine(), `endpoints.${id}`, 'warn', says, /2xx/);
  for (let tries = 2; tries <= 3; tries++) await fail(tries);
  assertLine(await stage.examine(), `endpoints.${id}`, 'fail', says, /2xx/);
  await service.api('DELETE', `/v1/endpoints/${id}`);
});

test('--send-tests sends each a test event and says what came of it', async () => {
  await using consumer = await startConsumer();
  const refusing = createHttp((_request, response) => void response.writeHead(404).end());
  const hanging = createHttp(() => {});
  const [well, bad, slow] = [
    await add(consumer.url),
    await add(await listen(refusing)),
    await add(await listen(hanging)),
  ];
  const examined = await stage.examine({ sendTests: true });
  assertLine(examined, `endpoints.${well}`, 'ok', /took a test event in \d+ ms/);
  assertLine(examined, `endpoints.${bad}`, 'fail', /did not take a test event: answered 404/);
  assertLine(examined, `endpoints.${slow}`, 'warn', /has not answered a test event for 9 s/, /15 s/);
  assert.equal(consumer.received.length, 1);
  assert.equal(JSON.parse(consumer.received[0]?.body ?? '').type, 'endpoint.test');
  await stage.sql`DELETE FROM deliveries`;
  await stage.sql`DELETE FROM endpoints`;
});

test('a guard that lets everything through is a warning', async () => {
  const examined = await stage.examine({}, { MAILGRESS_EGRESS_ALLOW: '0.0.0.0/0,::/0' });
  assertLine(examined, 'egress.rules', 'warn', /all are reached/, /only what has to be reached/);
});
