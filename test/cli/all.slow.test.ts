import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { type IncomingMessage, request } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startConsumer } from '../support/consumer.ts';
import { waitUntil } from '../support/embedded-place.ts';
import {
  createDataDirectory,
  type DataDirectory,
  isListening,
  type MailgressProcess,
  startMailgress,
} from '../support/process.ts';
import { ADMIN_TOKEN, addSource, callApi, mailOf, signatureHeaders } from '../support/service.ts';

const hello = fileURLToPath(new URL('../../examples/hello.eml', import.meta.url));

/** One database for all tests; each leaves it stopped. */
let directory: DataDirectory;
before(async () => {
  directory = await createDataDirectory();
});
after(() => directory[Symbol.asyncDispose]());

const startAll = (env: Record<string, string> = {}): MailgressProcess =>
  startMailgress(['all'], {
    MAILGRESS_DATA_DIR: directory.path,
    MAILGRESS_ADMIN_TOKEN: ADMIN_TOKEN,
    ...env,
  });

/** Ends it in order, and finds nothing left that runs. */
async function stop(all: MailgressProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  const postmaster = await directory.postmaster();
  all.kill(signal);
  const { code, stderr } = await all.ended;
  assert.equal(code, 0, stderr);
  await assertStopped(postmaster?.port);
}

async function assertStopped(port: number | undefined): Promise<void> {
  assert.equal(await directory.postmaster(), undefined, 'no postmaster.pid');
  if (port !== undefined) assert.equal(await isListening(port), false);
}

describe('all', () => {
  test('from nothing says where it listens, where the key is and how to send a first mail, which goes through', async () => {
    await using all = startMailgress(['all'], { MAILGRESS_DATA_DIR: directory.path });
    const address = await all.ready();
    assert.equal((await fetch(`${address}/readyz`)).status, 200);

    const answers: string[] = [];
    for (const _ of [1, 2]) {
      await using send = startMailgress(['send', hello], { MAILGRESS_DATA_DIR: directory.path });
      const { code, stdout, stderr } = await send.ended;
      assert.equal(code, 0, stderr);
      answers.push(stdout);
    }
    const [, id] = /^accepted (msg_\w+)\n/.exec(answers[0] ?? '') ?? [];
    assert.ok(id, answers[0]);
    assert.match(answers[1] ?? '', new RegExp(`^duplicate ${id}\n`));
    const key = (await readFile(join(directory.path, 'admin-token'), 'utf8')).trim();
    const headers = { authorization: `Bearer ${key}` };
    assert.equal((await fetch(`${address}/v1/messages/${id}`, { headers })).status, 200);

    await stop(all);
    const { stdout, told } = await all.ended;
    assert.match(stdout, /^Mailgress \S+ listens on http:\/\/127\.0\.0\.1:\d+\n/);
    assert.ok(stdout.includes(`${directory.path}/admin-token`), stdout);
    // It was started in tmpdir(), which the checkout may lie in.
    const nearer = relative(tmpdir(), hello);
    assert.ok(stdout.includes(`npx mailgress send ${nearer.startsWith('..') ? hello : nearer}`), stdout);
    assert.deepEqual(told, []);
  });

  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    test(`on ${signal} lets a slow request end with 200, exits 0 and stops its database; the mail is there after`, async () => {
      await using consumer = await startConsumer();
      let endpointId: string;
      let messageId: string;
      {
        await using all = startAll();
        const address = await all.ready();
        endpointId = (await callApi(address, 'POST', '/v1/endpoints', { url: consumer.url })).body.id;
        const source = await addSource({ address }, 'raw');
        const upload = await startSlowUpload(source, mailOf(`Slow ${signal}`));
        const stopping = stop(all, signal);
        await all.says('stopping');
        await waitUntil('it takes no more', async () => !(await isListening(Number(new URL(address).port))));
        const { results } = await upload.finish();
        assert.equal(results[0].status, 'accepted');
        messageId = results[0].messageId;
        await stopping;
      }
      await using again = startAll();
      const address = await again.ready();
      assert.equal((await callApi(address, 'GET', `/v1/messages/${messageId}`)).status, 200);
      const [webhook] = await consumer.waitFor(1);
      assert.equal(webhook?.headers['webhook-id'], messageId.replace('msg_', 'evt_'));
      await callApi(address, 'DELETE', `/v1/endpoints/${endpointId}`);
      await stop(again);
    });
});

/** A request whose body stays half sent until `finish`, which answers the results of its 200. */
async function startSlowUpload(source: { ingestUrl: string; secret: string }, mail: string) {
  const bytes = Buffer.from(mail);
  const upload = request(source.ingestUrl, {
    method: 'POST',
    headers: {
      ...signatureHeaders(source.secret, bytes),
      'content-length': bytes.length,
      // Answered when the request has been taken up.
      expect: '100-continue',
    },
  });
  upload.flushHeaders();
  await once(upload, 'continue');
  upload.write(bytes.subarray(0, 20));
  return {
    async finish() {
      upload.end(bytes.subarray(20));
      const [response] = (await once(upload, 'response')) as [IncomingMessage];
      const body = await text(response);
      assert.equal(response.statusCode, 200, body);
      // Kept open, it would keep the process from ending.
      assert.equal(response.headers.connection, 'close');
      return JSON.parse(body);
    },
  };
}

describe('a second all', () => {
  test('on a data directory that one runs on is refused, with its address and process', async () => {
    await using first = startAll();
    const address = await first.ready();
    await using second = startAll();
    const { code, stdout, told } = await second.ended;
    assert.equal(code, 69);
    assert.equal(stdout, '');
    assert.equal(told.length, 1, told.join('\n'));
    for (const part of [directory.path, address, `process ${first.pid}`])
      assert.ok(told[0]?.includes(part), told[0]);
    assert.equal((await fetch(`${address}/readyz`)).status, 200);
    await stop(first);
  });

  for (const signal of ['SIGKILL', 'SIGTERM'] as const)
    test(`while the first is ended by ${signal} takes over, or is refused and can be started again`, async () => {
      await using first = startAll();
      await first.ready();
      first.kill(signal);
      await using second = startAll();
      const outcome = await Promise.race([second.ready(), second.ended]).catch(() => second.ended);
      if (typeof outcome === 'string') {
        await stop(second);
        return;
      }
      // Only one that still runs may refuse another.
      assert.equal(signal, 'SIGTERM');
      assert.deepEqual([outcome.code, outcome.told.length], [69, 1], outcome.stderr);
      await first.ended;
      await using third = startAll();
      await third.ready();
      await stop(third);
    });
});

describe('a start that cannot be', () => {
  test('for a port in use exits 69 with one line, and its database is stopped again', async () => {
    const squatter = createServer().listen(0, '127.0.0.1');
    await once(squatter, 'listening');
    const address = squatter.address();
    const port = typeof address === 'object' ? String(address?.port) : '';
    await using all = startAll({ PORT: port });
    const { code, stdout, told } = await all.ended;
    squatter.close();
    assert.equal(code, 69);
    assert.equal(stdout, '');
    assert.equal(told.length, 1, told.join('\n'));
    assert.ok(told[0]?.includes(`127.0.0.1:${port}`), told[0]);
    await assertStopped(undefined);
  });

  test('for its configuration exits 78 with every fault in one message, before it has touched anything', async () => {
    await using untouched = await createDataDirectory();
    await using all = startMailgress(['all'], {
      MAILGRESS_DATA_DIR: untouched.path,
      DATABASE_URL: 'mysql://localhost/x',
      PORT: 'http',
      LOG_LEVEL: 'loud',
      MAILGRESS_ADMIN_TOKEN: 'short',
    });
    const { code, stdout, stderr } = await all.ended;
    assert.equal(code, 78);
    assert.equal(stdout, '');
    for (const name of ['DATABASE_URL', 'PORT', 'LOG_LEVEL', 'MAILGRESS_ADMIN_TOKEN', 'MAILGRESS_SECRET_KEY'])
      assert.equal(stderr.split(name).length, name === 'DATABASE_URL' ? 3 : 2, stderr);
    assert.deepEqual(await readdir(untouched.path), []);
  });
});
