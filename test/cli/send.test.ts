import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type CommandOutcome, startCommands } from '../support/commands.ts';
import { ADMIN_TOKEN, addSource, startTestService, type TestService } from '../support/service.ts';

const hello = fileURLToPath(new URL('../../examples/hello.eml', import.meta.url));

let service: TestService;
let root: string;
const commands = startCommands();
before(async () => {
  service = await startTestService();
  root = await mkdtemp(join(tmpdir(), 'mailgress-send-'));
});
after(async () => {
  await commands[Symbol.asyncDispose]();
  await service.dispose();
  await rm(root, { recursive: true });
});

const send = (args: readonly string[], env: Record<string, string> = {}) =>
  commands.run(['send', ...args], { MAILGRESS_DATA_DIR: join(root, 'none'), ...env });

function assertRefused({ code, stdout, told, stderr }: CommandOutcome, exitCode: number, word: RegExp): void {
  assert.equal(code, exitCode, stderr);
  assert.equal(stdout, '');
  assert.equal(told.length, 1, stderr);
  assert.match(told[0] ?? '', word);
}

test('makes itself a source at a service elsewhere, keeps its secret to itself and uses it again', async () => {
  const directory = join(root, 'elsewhere');
  const args = [hello, '--url', service.address, '--token', ADMIN_TOKEN, '--json'];
  const [first, second] = [
    await send(args, { MAILGRESS_DATA_DIR: directory }),
    await send(args, { MAILGRESS_DATA_DIR: directory }),
  ];
  assert.equal(first.code, 0, first.stderr);
  const { status, messageId } = JSON.parse(first.stdout);
  assert.equal(status, 'accepted');
  assert.deepEqual(JSON.parse(second.stdout), { id: null, status: 'duplicate', messageId });
  const kept = join(directory, 'first-source.json');
  assert.equal((await stat(kept)).mode & 0o777, 0o600);
  assert.equal((await service.api('GET', '/v1/sources')).body.data.length, 1);

  await writeFile(kept, '{');
  const third = await send(args, { MAILGRESS_DATA_DIR: directory });
  assert.equal(third.code, 0, third.stderr);
  assert.match(await readFile(kept, 'utf8'), /^\{"id":"src_/);
});

test('to a source of one’s own takes its secret from the environment alone', async () => {
  const source = await addSource(service, 'raw');
  const args = [hello, '--source', source.id, '--url', service.address, '--token', ADMIN_TOKEN];
  const [sent, unsigned, wrong] = await Promise.all([
    send(args, { MAILGRESS_SOURCE_SECRET: source.secret }),
    send(args),
    send(args, { MAILGRESS_SOURCE_SECRET: 'whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=' }),
  ]);
  assert.equal(sent.code, 0, sent.stderr);
  assert.match(sent.stdout, /^accepted msg_[0-9a-f]{32}\n/);
  assertRefused(unsigned, 64, /MAILGRESS_SOURCE_SECRET/);
  assertRefused(wrong, 78, /signature/);
});

test('says in one line what is missing: the service, the right key, the file', async () => {
  const [nothing, nobody, wrongKey, noFile] = await Promise.all([
    send([hello]),
    send([hello, '--url', 'http://127.0.0.1:1', '--token', ADMIN_TOKEN]),
    send([hello, '--url', service.address, '--token', 'a-key-that-nobody-has-made']),
    send([join(root, 'no.eml'), '--url', service.address, '--token', ADMIN_TOKEN]),
  ]);
  assertRefused(nothing, 69, /npm start/);
  assertRefused(nobody, 69, /Nobody answers at http:\/\/127\.0\.0\.1:1/);
  assertRefused(wrongKey, 78, /does not accept the key/);
  assert.ok(!wrongKey.stderr.includes('a-key-that-nobody-has-made'));
  assertRefused(noFile, 66, /no\.eml/);
});

test('takes what a killed instance left behind for no service', async () => {
  const instance = { pid: 1, url: 'http://127.0.0.1:1', startedAt: new Date() };
  await writeFile(join(root, 'instance.json'), JSON.stringify(instance));
  await writeFile(join(root, 'admin-token'), ADMIN_TOKEN);
  assertRefused(await send([hello], { MAILGRESS_DATA_DIR: root }), 69, /is the service running\?/);
});
