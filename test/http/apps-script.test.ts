import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createContext, Script } from 'node:vm';
import { startMailgress } from '../support/process.ts';
import { ADMIN_TOKEN, addSource, startTestService, type TestService } from '../support/service.ts';
import { expectProblem } from './problem.ts';

let service: TestService;
before(async () => {
  service = await startTestService({ publicUrl: 'https://mail.example.com/base', dispatch: false });
});
after(() => service.dispose());

function getScript(id: string, headers: Record<string, string> = { authorization: `Bearer ${ADMIN_TOKEN}` }) {
  return fetch(`${service.address}/v1/sources/${id}/apps-script`, { headers });
}

/** The script's constants, as its own code sees them. */
const constantsOf = (script: string) => ({
  ...new Script(`${script}\n({ MAILGRESS_URL, SOURCE_ID, SECRET, VERSION, BODY_LIMIT_BYTES })`).runInContext(
    createContext({}),
  ),
});

test('the script of a source carries its URL, id and secret, and is kept by no cache', async () => {
  const source = await addSource(service);
  const response = await getScript(source.id);
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('content-type'), 'text/javascript; charset=utf-8');
  assert.equal(response.headers.get('cache-control'), 'no-store');
  assert.deepEqual(constantsOf(await response.text()), {
    MAILGRESS_URL: 'https://mail.example.com/base',
    SOURCE_ID: source.id,
    SECRET: source.secret,
    VERSION: '0.0.0-test',
    BODY_LIMIT_BYTES: 1024 * 1024,
  });
});

test('after a rotation it carries the new secret', async () => {
  const source = await addSource(service);
  const { body } = await service.api('POST', `/v1/sources/${source.id}/rotate-secret`);
  const { SECRET } = constantsOf(await (await getScript(source.id)).text());
  assert.notEqual(SECRET, source.secret);
  assert.equal(SECRET, body.secret);
});

test('without a key there is none; nor for a source of another kind, or one that is not there', async () => {
  const source = await addSource(service);
  await expectProblem(await getScript(source.id, {}), 401, 'unauthorized');
  const raw = await addSource(service, 'raw');
  await expectProblem(await getScript(raw.id), 409, 'conflict');
  await expectProblem(await getScript(`src_${'0'.repeat(32)}`), 404, 'not_found');
  await expectProblem(await getScript('nonsense'), 404, 'not_found');
});

test('mailgress source script prints it', async () => {
  const source = await addSource(service);
  const expected = await (await getScript(source.id)).text();
  const env = { MAILGRESS_PUBLIC_URL: service.address, MAILGRESS_ADMIN_TOKEN: ADMIN_TOKEN };
  await using plain = startMailgress(['source', 'script', source.id], env);
  const { code, stdout, stderr } = await plain.ended;
  assert.deepEqual([code, stderr], [0, '']);
  assert.equal(stdout, expected);
  await using json = startMailgress(['source', 'script', source.id, '--json'], env);
  assert.deepEqual(JSON.parse((await json.ended).stdout), { script: expected });
  await using other = startMailgress(['source', 'script', (await addSource(service, 'raw')).id], env);
  const failed = await other.ended;
  assert.notEqual(failed.code, 0);
  assert.match(failed.stderr, /of kind raw, which has no script/);
  assert.equal(failed.stdout, '');
});

test('mailgress source script says when Google cannot reach what it posts to', async () => {
  const local = await startTestService({ dispatch: false });
  try {
    const source = await addSource(local);
    const env = { MAILGRESS_PUBLIC_URL: local.address, MAILGRESS_ADMIN_TOKEN: ADMIN_TOKEN };
    await using command = startMailgress(['source', 'script', source.id], env);
    const { code, stdout, stderr } = await command.ended;
    assert.equal(code, 0);
    assert.match(stdout, /^function install\(\)/m);
    assert.equal(stderr, `${local.address} is out of Google's reach: set MAILGRESS_PUBLIC_URL\n`);
  } finally {
    await local.dispose();
  }
});
