import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { startCommands } from '../support/commands.ts';
import { type Consumer, startConsumer } from '../support/consumer.ts';
import { startMailgress } from '../support/process.ts';
import {
  ADMIN_TOKEN,
  addSource,
  batch,
  gmailItem,
  mailOf,
  startTestService,
  type TestService,
} from '../support/service.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

let service: TestService;
let consumer: Consumer;
const commands = startCommands();
before(async () => {
  service = await startTestService();
  consumer = await startConsumer();
});
after(async () => {
  await commands[Symbol.asyncDispose]();
  await service.dispose();
  await consumer.close();
});

const environment = () => ({
  MAILGRESS_PUBLIC_URL: service.address,
  MAILGRESS_ADMIN_TOKEN: ADMIN_TOKEN,
});
const run = (...args: string[]) => commands.run(args, environment());

/** Of a command with `--json`. */
async function runJson(...args: string[]) {
  const { code, stdout, stderr } = await run(...args, '--json');
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout);
}

test('a command in a process of its own ends by itself, with its exit code', async () => {
  for (const [args, code, words] of [
    [['mailbox', 'list', '--json'], 0, /^\[\]\n$/],
    [['status', '--token', 'wrong'], 78, /^mailgress: The service does not accept the key/],
    [['mailbox', 'add'], 64, /missing required argument/],
  ] as const) {
    await using command = startMailgress(args, environment());
    const ended = await command.ended;
    assert.equal(ended.code, code, ended.stderr);
    assert.match(ended.stdout + ended.stderr, words);
  }
});

test('makes a mailbox, a source and an endpoint, tests it, and lists them all', async () => {
  const mailbox = await runJson('mailbox', 'add', 'cli@example.com', '--tenant', 'acme');
  assert.match(mailbox.id, /^mbx_/);
  const source = await runJson('source', 'add', '--mailbox', 'CLI@example.com', '--kind', 'raw');
  assert.match(source.secret, /^whsec_/);
  assert.equal(source.ingestUrl, `${service.address}/v1/ingest/raw/${source.id}`);
  const endpoint = await runJson('endpoint', 'add', consumer.url, '--types', 'message.received,gap.opened');
  assert.deepEqual(endpoint.types, ['message.received', 'gap.opened']);

  const tested = await run('endpoint', 'test', endpoint.id);
  assert.equal(tested.code, 0, tested.stderr);
  assert.match(tested.stdout, /^204 in \d+ ms {2}delivered\n$/);
  assert.match(consumer.received[0]?.body ?? '', /"type":"endpoint.test"/);

  for (const [what, sought] of [
    ['mailbox', mailbox.id],
    ['source', source.id],
    ['endpoint', endpoint.id],
  ]) {
    const { stdout } = await run(what, 'list');
    assert.match(stdout, new RegExp(`\\b${sought}\\b`));
    assert.ok(!stdout.includes('\u001b') && !stdout.includes('whsec_'), 'neither colour nor a secret');
    const listed = await runJson(what, 'list');
    assert.ok(listed.some(({ id }: { id: string }) => id === sought));
  }
});

test('makes a key of a tenant, which sees and makes what is of that tenant, lists it, and takes it back', async () => {
  await runJson('mailbox', 'add', 'not-mine@example.com');
  const made = await runJson('key', 'add', '--role', 'operator', '--tenant', 'keyed', '--description', 'CRM');
  assert.match(made.key, /^mgk_/);
  const { stdout: list } = await run('key', 'list');
  assert.match(list, new RegExp(`^${made.id} +operator +keyed +never +CRM$`, 'm'));
  assert.ok(!list.includes('mgk_'));

  const asTenant = ['--token', made.key];
  const mailbox = await runJson('mailbox', 'add', 'keyed@example.com', ...asTenant);
  const endpoint = await runJson('endpoint', 'add', consumer.url, '--types', 'gap.opened', ...asTenant);
  assert.deepEqual([mailbox.tenant, endpoint.tenant], ['keyed', 'keyed']);
  await runJson('source', 'add', '--mailbox', 'keyed@example.com', '--kind', 'raw', ...asTenant);
  for (const tenant of [[], ['--tenant', 'keyed']]) {
    const status = await runJson('status', ...tenant, ...asTenant);
    assert.deepEqual(
      [status.sources, status.endpoints].map((rows) => rows.map((one: { tenant: string }) => one.tenant)),
      [['keyed'], ['keyed']],
    );
  }
  assert.deepEqual((await runJson('status', '--tenant', 'default', ...asTenant)).sources, []);
  assert.deepEqual(
    (await runJson('mailbox', 'list', ...asTenant)).map(({ address }: { address: string }) => address),
    ['keyed@example.com'],
  );

  const { code, stdout } = await run('key', 'revoke', made.id);
  assert.deepEqual([code, stdout], [0, `${made.id} is revoked\n`]);
  assert.equal((await run('mailbox', 'list', ...asTenant)).code, 78);
});

test('a key that may not do something is told which role may', async () => {
  const { key } = await runJson('key', 'add', '--role', 'reader');
  const { code, told } = await run('mailbox', 'add', 'reader@example.com', '--token', key);
  assert.equal(code, 77);
  assert.deepEqual(told, ['mailgress: This needs a key of role operator; this one is of role reader']);
});

test('stops a source and starts it again', async () => {
  const source = await addSource(service, 'raw');
  assert.equal((await runJson('source', 'stop', source.id)).state, 'disconnected');
  assert.equal((await runJson('source', 'start', source.id)).state, 'idle');
});

test('says how everything is', async () => {
  await addSource(service, 'raw', 'status@example.com');
  const { code, stdout } = await run('status');
  assert.equal(code, 0);
  assert.match(stdout, /ready/);
  assert.match(stdout, /^status@example\.com +raw +idle +push +never +never +- +0 +0 +0$/m);
  assert.equal((await runJson('status')).status, 'ok');
});

test('a wrong URL, where another program answers, is told so', async () => {
  const other = createServer((_, response) => response.end('<h1>It works</h1>')).listen(0, '127.0.0.1');
  await once(other, 'listening');
  const { port } = other.address() as AddressInfo;
  for (const args of [
    ['status'],
    ['mailbox', 'add', 'a@example.com'],
    ['tail'],
    ['source', 'script', 'src_1'],
  ]) {
    const { code, told } = await run(...args, '--url', `http://127.0.0.1:${port}`);
    assert.equal(code, 69);
    assert.match(
      told.join('\n'),
      /^mailgress: What answers at http:\/\/127\.0\.0\.1:\d+ \(200 OK\) is not Mailgress/,
    );
  }
  other.close();
});

test('a reader that goes, as `| head` does, is no error', async () => {
  const source = await addSource(service, 'apps-script', 'head@example.com');
  await service.push(
    source,
    batch(Array.from({ length: 200 }, (_, n) => gmailItem(`abc${n}`, mailOf(`Mail ${n}`)))),
  );
  const shell = `"${process.execPath}" "${MAIN}" tail --json --since start; echo "-> $?" >&2`;
  const { stdout, stderr } = await promisify(execFile)('sh', ['-c', `{ ${shell}; } | head -n 1`], {
    env: {
      PATH: process.env.PATH,
      MAILGRESS_PUBLIC_URL: service.address,
      MAILGRESS_ADMIN_TOKEN: ADMIN_TOKEN,
    },
  });
  assert.equal(stdout.trimEnd().split('\n').length, 1);
  assert.equal(stderr, '-> 0\n');
});

test('an old Node is told in one line which one is needed', async () => {
  const launcher = new URL('../../bin/mailgress.js', import.meta.url);
  const pretend = `Object.defineProperty(process.versions, 'node', { value: '20.1.0' }); await import('${launcher}')`;
  const failed = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', pretend]).catch(
    (error) => error,
  );
  assert.equal(failed.code, 69);
  assert.match(failed.stderr, /^mailgress: this is Node 20\.1\.0; Mailgress needs 24 or later\.[^\n]*\n$/);
});

test('tail prints events as they come', async () => {
  await using tail = startMailgress(['tail', '--json', '--since', 'start'], environment());
  const source = await addSource(service);
  await service.push(source, batch([gmailItem('7a11', mailOf('Seen by tail'))]));
  await tail.prints('Seen by tail');
  tail.kill('SIGINT');
  const { stdout } = await tail.ended;
  const last = stdout.trimEnd().split('\n').at(-1) ?? '';
  assert.equal(JSON.parse(last).data.subject, 'Seen by tail');
});

describe('is told in one line, with the right exit code', () => {
  const elsewhere = 'http://127.0.0.1:9';
  for (const [what, args, code, words] of [
    ['no service', ['mailbox', 'list', '--url', elsewhere], 69, /Nobody answers at http:\/\/127\.0\.0\.1:9 /],
    ['a wrong key', ['status', '--token', 'wrong'], 78, /does not accept the key/],
    ['an unknown key', ['key', 'revoke', `key_${'0'.repeat(32)}`], 65, /There is no key/],
    ['a key without a role', ['key', 'add'], 64, /--role/],
    ['a role that is none', ['key', 'add', '--role', 'owner'], 65, /role/],
    ['an unknown id', ['source', 'stop', `src_${'0'.repeat(32)}`], 65, /There is no source/],
    [
      'an unknown mailbox',
      ['source', 'add', '--mailbox', 'no@example.com', '--kind', 'raw'],
      65,
      /mailbox add no@/,
    ],
    ['a bad URL', ['endpoint', 'add', 'ftp://example.com'], 65, /url/],
    ['no arguments', ['mailbox', 'add'], 64, /missing required argument/],
    ['a file that is not there', ['send', '/nowhere.eml'], 66, /Cannot read \/nowhere\.eml/],
    ['a directory for a file', ['send', tmpdir()], 66, /Cannot read .*directory/],
    ['a file that is no mail', ['send', process.execPath], 65, /is no mail: it does not begin with a header/],
    ['a URL that is none', ['status', '--url', 'localhost:8080'], 64, /--url localhost:8080: must be a URL/],
    [
      'a URL with a password',
      ['status', '--url', 'http://ada:s3cret-word@127.0.0.1:1'],
      64,
      /^(?!.*s3cret).*--token/,
    ],
    ['a key with a line end', ['status', '--token', 's3cret\nword'], 64, /^(?!.*s3cret).*holds blanks/],
    ['another command', ['frobnicate'], 64, /unknown command 'frobnicate'/],
  ] as const) {
    test(what, async () => {
      const { code: ended, told } = await run(...args);
      assert.equal(ended, code);
      assert.match(told[0] ?? '', words);
      assert.ok(told.length <= 2, told.join('\n'));
    });
  }
});
