import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { isRoleEnough, type Role, roleSchema } from '../../src/core/api-key.ts';
import { createId, type IdPrefix } from '../../src/core/ids.ts';
import { NEEDED_ROLES } from '../../src/http/access.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { type NamedOperation, operationsOf, readDocument } from './openapi-document.ts';
import { BODIES } from './request-bodies.ts';

/* The routes are those of /openapi.json, which another test holds against the ones that are mounted. */

let service: TestService;
let operations: NamedOperation[];
const keys = new Map<Role, string>();
before(async () => {
  service = await startTestService({ dispatch: false });
  operations = operationsOf(await readDocument(service.address)).filter(
    ({ path, operation }) => path.startsWith('/v1/') && operation.security?.length !== 0,
  );
  for (const role of roleSchema.options) {
    const { body } = await service.api('POST', '/v1/keys', { role });
    keys.set(role, body.key);
  }
});
after(() => service.dispose());

const PREFIXES: Record<string, IdPrefix> = { sources: 'src', endpoints: 'ep', messages: 'msg', keys: 'key' };

/** Ends as soon as there is a status: some answers have no end. */
async function statusFor(role: Role, { name, method, path, operation }: NamedOperation) {
  const id = createId(PREFIXES[path.split('/')[2] ?? ''] ?? 'mbx');
  const response = await fetch(`${service.address}${path.replace('{id}', id).replace('{n}', '0')}`, {
    method,
    headers: { authorization: `Bearer ${keys.get(role)}`, 'content-type': 'application/json' },
    ...(operation.requestBody && { body: JSON.stringify(BODIES[name]) }),
  });
  const isProblem = response.headers.get('content-type') === 'application/problem+json';
  const code = isProblem ? ((await response.json()) as { code: string }).code : undefined;
  await response.body?.cancel().catch(() => {});
  return { status: response.status, code };
}

test('every route that takes a key declares the role it needs', () => {
  const undeclared = operations.filter(({ name }) => NEEDED_ROLES[name] === undefined);
  assert.deepEqual(
    undeclared.map(({ name }) => name),
    [],
  );
});

test('what is declared is as the roles are told: reading, changing, keys and the doctor', () => {
  for (const { name, method, path } of operations) {
    const isSecret = path === '/v1/sources/{id}/apps-script';
    const told = /^\/v1\/(keys|doctor)/.test(path)
      ? 'admin'
      : method === 'GET' && !isSecret
        ? 'reader'
        : 'operator';
    assert.equal(NEEDED_ROLES[name], told, name);
  }
});

for (const role of roleSchema.options) {
  test(`a key of role ${role} is let in where that is enough, and is told 403 elsewhere`, async () => {
    let allowed = 0;
    for (const operation of operations) {
      const { status, code } = await statusFor(role, operation);
      const isAllowed = isRoleEnough(role, NEEDED_ROLES[operation.name] ?? 'admin');
      if (isAllowed) {
        assert.ok(status !== 401 && status !== 403, `${operation.name}: ${status}`);
        allowed++;
      } else {
        assert.deepEqual([status, code], [403, 'forbidden'], operation.name);
      }
    }
    assert.ok(allowed > 0);
    assert.equal(allowed === operations.length, role === 'admin');
  });
}

test('HEAD needs what GET does, and a path that is not there is 404 to every role', async () => {
  const headers = { authorization: `Bearer ${keys.get('reader')}` };
  const script = `${service.address}/v1/sources/${createId('src')}/apps-script`;
  assert.equal((await fetch(script, { method: 'HEAD', headers })).status, 403);
  assert.equal((await fetch(`${service.address}/v1/mailboxes`, { method: 'HEAD', headers })).status, 200);
  assert.equal((await fetch(`${service.address}/v1/nothing`, { headers })).status, 404);
  const wrongMethod = await fetch(`${service.address}/v1/keys`, { method: 'PUT', headers });
  assert.equal(wrongMethod.status, 405);
});

test('the document tells the role of each operation, and what a key can be refused with', () => {
  for (const { name, operation } of operations) {
    const { description } = operation as { description?: string };
    assert.match(description ?? '', new RegExp(`Needs a key of role ${NEEDED_ROLES[name]}\\.$`), name);
    for (const status of [401, 403, 429]) {
      assert.ok(operation.responses[status]?.content?.['application/problem+json'], `${name} ${status}`);
    }
  }
});
