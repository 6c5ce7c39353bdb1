import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import postgres from 'postgres';
import { hashKey } from '../../src/core/api-key.ts';
import { createId } from '../../src/core/ids.ts';
import { waitUntil } from '../support/embedded-place.ts';
import { ADMIN_TOKEN, startTestService, type TestService } from '../support/service.ts';
import { expectProblem, faultPaths } from './problem.ts';

let service: TestService;
/** Another process on the same database, as far as keys go. */
let other: TestService;
let sql: postgres.Sql;
before(async () => {
  service = await startTestService({ dispatch: false });
  other = await startTestService({ dispatch: false, databaseUrl: service.databaseUrl });
  sql = postgres(service.databaseUrl, { max: 1 });
});
after(async () => {
  await sql.end();
  await other.dispose();
  await service.dispose();
});

const get = (key: string, path = '/v1/mailboxes', { address } = service) =>
  fetch(`${address}${path}`, { headers: { authorization: `Bearer ${key}` } });
const make = async (body: Record<string, unknown>) => {
  const { status, body: made } = await service.api('POST', '/v1/keys', body);
  assert.equal(status, 201, JSON.stringify(made));
  return made;
};

test('a key is told once, and its hash alone is kept', async () => {
  const { key, ...made } = await make({ role: 'operator', tenant: 'acme', description: 'CRM' });
  assert.match(key, /^mgk_[A-Za-z0-9_-]{43}$/);
  assert.match(made.id, /^key_[0-9a-f]{32}$/);
  assert.deepEqual(
    [made.role, made.tenant, made.description, made.lastUsedAt],
    ['operator', 'acme', 'CRM', null],
  );
  assert.deepEqual((await service.api('GET', `/v1/keys/${made.id}`)).body, made);
  const { body: list } = await service.api('GET', '/v1/keys');
  assert.deepEqual(
    list.data.find(({ id }: { id: string }) => id === made.id),
    made,
  );
  const rows = await sql<{ hash: Buffer; text: string }[]>`SELECT hash, api_keys::text AS text FROM api_keys`;
  assert.ok(rows.some(({ hash }) => hash.equals(hashKey(key))));
  assert.ok(!rows.some(({ text }) => text.includes(key.slice(4))));
});

test('a key works on every process, and is refused by each from the moment it is revoked', async () => {
  const { id, key } = await make({ role: 'reader' });
  // Used by both first, so that a memory of it would show.
  for (const one of [service, other, service, other])
    assert.equal((await get(key, undefined, one)).status, 200);
  assert.equal((await service.api('DELETE', `/v1/keys/${id}`)).status, 204);
  for (const one of [other, service])
    await expectProblem(await get(key, undefined, one), 401, 'unauthorized');
  assert.equal((await service.api('DELETE', `/v1/keys/${id}`)).status, 404);
});

test('a key can revoke itself', async () => {
  const { id, key } = await make({ role: 'admin' });
  const headers = { authorization: `Bearer ${key}` };
  const url = `${service.address}/v1/keys/${id}`;
  assert.equal((await fetch(url, { method: 'DELETE', headers })).status, 204);
  assert.equal((await fetch(url, { method: 'DELETE', headers })).status, 401);
});

test('when a key was last used is known, and written once a minute at most', async () => {
  const { id, key } = await make({ role: 'reader' });
  await get(key);
  const lastUsedAt = async (): Promise<string | null> =>
    (await service.api('GET', `/v1/keys/${id}`)).body.lastUsedAt;
  await waitUntil('its use is kept', async () => (await lastUsedAt()) !== null);
  const first = await lastUsedAt();
  assert.ok(Math.abs(Date.now() - Date.parse(first ?? '')) < 60_000);
  // A process that has not noted it yet does not write it either: the row tells.
  await get(key, undefined, other);
  await get(key);
  const { key: marker, id: markerId } = await make({ role: 'reader' });
  await get(marker, undefined, other);
  await waitUntil('what came after is kept', async () => {
    return (await service.api('GET', `/v1/keys/${markerId}`)).body.lastUsedAt !== null;
  });
  assert.equal(await lastUsedAt(), first);
  await sql`UPDATE api_keys SET last_used_at = now() - interval '61 seconds' WHERE hash = ${hashKey(key)}`;
  const third = await startTestService({ dispatch: false, databaseUrl: service.databaseUrl });
  await get(key, undefined, third);
  await third.dispose();
  assert.ok(Date.parse((await lastUsedAt()) ?? '') >= Date.parse(first ?? ''));
});

test('the admin key is of no row, and of all tenants', async () => {
  const rows = await sql`SELECT FROM api_keys WHERE hash = ${hashKey(ADMIN_TOKEN)}`;
  assert.equal(rows.length, 0);
  assert.equal((await get(ADMIN_TOKEN, '/v1/keys')).status, 200);
});

test('an admin of a tenant makes, sees and revokes keys of that tenant alone', async () => {
  const { key: admin } = await make({ role: 'admin', tenant: 'delta' });
  const { id: foreign } = await make({ role: 'reader', tenant: 'acme' });
  const { id: ofAll } = await make({ role: 'reader' });
  const headers = { authorization: `Bearer ${admin}`, 'content-type': 'application/json' };
  const call = (method: string, path: string, body?: unknown) =>
    fetch(`${service.address}${path}`, { method, headers, ...(body ? { body: JSON.stringify(body) } : {}) });
  const made = (await (await call('POST', '/v1/keys', { role: 'admin' })).json()) as Record<string, string>;
  assert.equal(made.tenant, 'delta');
  const { data } = (await (await call('GET', '/v1/keys')).json()) as { data: { tenant: string }[] };
  assert.deepEqual(
    data.map(({ tenant }) => tenant),
    ['delta', 'delta'],
  );
  for (const id of [foreign, ofAll]) {
    await expectProblem(await call('DELETE', `/v1/keys/${id}`), 404, 'not_found');
    await expectProblem(await call('GET', `/v1/keys/${id}`), 404, 'not_found');
  }
  await expectProblem(await call('POST', '/v1/keys', { role: 'admin', tenant: null }), 403, 'forbidden');
  assert.equal((await call('DELETE', `/v1/keys/${made.id}`)).status, 204);
});

describe('what is no key is refused, saying where', () => {
  for (const [name, body, path] of [
    ['no role', {}, 'role'],
    ['another role', { role: 'owner' }, 'role'],
    ['a role in capitals', { role: 'Admin' }, 'role'],
    ['a list of roles', { role: ['admin'] }, 'role'],
    ['a tenant that can be none', { role: 'reader', tenant: 'a b' }, 'tenant'],
    ['an empty tenant', { role: 'reader', tenant: '' }, 'tenant'],
    ['a long description', { role: 'reader', description: 'a'.repeat(1001) }, 'description'],
    ['a description with U+0000', { role: 'reader', description: '\0' }, 'description'],
    ['a key of one\u2019s own', { role: 'reader', key: 'mgk_x' }, ''],
  ] as const) {
    test(name, async () => {
      const response = await fetch(`${service.address}/v1/keys`, {
        method: 'POST',
        headers: { authorization: `Bearer ${ADMIN_TOKEN}`, 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
      assert.deepEqual(faultPaths(await expectProblem(response, 400, 'bad_request')), [path]);
    });
  }
});

test('a key written in another way is none', async () => {
  const { key } = await make({ role: 'reader' });
  for (const written of [
    key.slice(0, -1),
    `${key}x`,
    key.toUpperCase(),
    key.slice(4),
    `${key}=`,
    encodeURIComponent(`${key} `),
    hashKey(key).toString('hex'),
    `mgk_${'A'.repeat(43)}`,
  ]) {
    await expectProblem(await get(written), 401, 'unauthorized');
  }
});

describe('bad keys of an address', () => {
  let strict: TestService;
  let good: string;
  before(async () => {
    strict = await startTestService({ dispatch: false, failedKeysPerMinute: 3 });
    good = (await strict.api('POST', '/v1/keys', { role: 'reader' })).body.key;
  });
  after(() => strict.dispose());

  test('are told to wait once there were many, and good ones of the same address go on', async () => {
    for (let n = 0; n < 3; n++) {
      await expectProblem(await get(`bad-${n}`, undefined, strict), 401, 'unauthorized');
    }
    for (const path of ['/v1/mailboxes', '/v1/keys', '/v1/nothing']) {
      const response = await get('bad-again', path, strict);
      const seconds = Number(response.headers.get('retry-after'));
      assert.ok(seconds >= 1 && seconds <= 60, String(seconds));
      await expectProblem(response, 429, 'too_many_attempts');
    }
    assert.equal((await get(good, undefined, strict)).status, 200);
    assert.equal((await get(ADMIN_TOKEN, undefined, strict)).status, 200);
  });

  test('do not count where there is no key at all, or nothing is asked for one', async () => {
    const response = await fetch(`${strict.address}/v1/mailboxes`);
    await expectProblem(response, 401, 'unauthorized');
    assert.equal((await get('bad', '/healthz', strict)).status, 200);
  });

  test('are counted by address, whatever the request says of where it comes from', async () => {
    const headers = {
      authorization: 'Bearer bad',
      'x-forwarded-for': '192.0.2.7',
      forwarded: 'for=192.0.2.7',
    };
    const response = await fetch(`${strict.address}/v1/mailboxes`, { headers });
    await expectProblem(response, 429, 'too_many_attempts');
  });
});

test('an unknown key id is 404', async () => {
  const { status } = await service.api('DELETE', `/v1/keys/${createId('key')}`);
  assert.equal(status, 404);
});
