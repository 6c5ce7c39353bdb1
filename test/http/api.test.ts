import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createId, type IdPrefix } from '../../src/core/ids.ts';
import { ADMIN_TOKEN, startTestService, type TestService } from '../support/service.ts';
import { type NamedOperation, operationsOf, readDocument } from './openapi-document.ts';
import { expectProblem, faultPaths } from './problem.ts';
import { BODIES } from './request-bodies.ts';

/*
 * What holds for every route of the API alike. The routes are those of /openapi.json, which another test holds against
 * the ones that are mounted.
 */

let service: TestService;
let operations: NamedOperation[];
before(async () => {
  // More bad keys than anyone sends by mistake.
  service = await startTestService({ failedKeysPerMinute: 10_000 });
  operations = operationsOf(await readDocument(service.address)).filter(
    ({ path }) => path.startsWith('/v1/') && !path.startsWith('/v1/ingest/'),
  );
});
after(() => service.dispose());

function call(
  method: string,
  path: string,
  options: { headers?: Record<string, string>; body?: string } = {},
) {
  const headers = {
    authorization: `Bearer ${ADMIN_TOKEN}`,
    'content-type': 'application/json',
    ...options.headers,
  };
  return fetch(`${service.address}${path}`, { ...options, method, headers });
}

const PREFIXES: Record<string, IdPrefix> = {
  mailboxes: 'mbx',
  sources: 'src',
  endpoints: 'ep',
  messages: 'msg',
  deliveries: 'dlv',
  keys: 'key',
  replays: 'rpl',
};
const prefixOf = (path: string) => PREFIXES[path.split('/')[2] ?? ''] ?? 'mbx';
/** The path with an id that is well-formed and of nothing. */
const filled = (path: string, id = createId(prefixOf(path))) => path.replace('{id}', id).replace('{n}', '0');

const bodyOf = ({ name, operation }: NamedOperation) =>
  operation.requestBody ? { body: JSON.stringify(BODIES[name]) } : {};
const withBody = () => operations.filter(({ operation }) => operation.requestBody !== undefined);

test('there are routes, and a body is known for each that takes one', () => {
  assert.ok(operations.length > 20);
  const unknown = withBody().filter(({ name }) => BODIES[name] === undefined);
  assert.deepEqual(unknown, []);
});

describe('401 for every route', () => {
  const headers: Record<string, Record<string, string>> = {
    'without a key': { authorization: '' },
    'with another key': { authorization: `Bearer ${ADMIN_TOKEN}x` },
    'with a part of the key': { authorization: `Bearer ${ADMIN_TOKEN.slice(0, -1)}` },
    'with the key in another case': { authorization: `Bearer ${ADMIN_TOKEN.toUpperCase()}` },
    'with the key and no scheme': { authorization: ADMIN_TOKEN },
    'with the key under another scheme': {
      authorization: `Basic ${Buffer.from(`admin:${ADMIN_TOKEN}`).toString('base64')}`,
    },
  };
  for (const [name, given] of Object.entries(headers)) {
    test(name, async () => {
      for (const operation of operations) {
        const { method, path } = operation;
        const response = await call(method, filled(path), { headers: given, ...bodyOf(operation) });
        assert.equal(response.headers.get('www-authenticate'), 'Bearer');
        await expectProblem(response, 401, 'unauthorized');
      }
    });
  }

  test('also for a path that is not there, a method that is none, and a key in the query', async () => {
    for (const [method, path] of [
      ['GET', '/v1/nothing'],
      ['DELETE', '/v1/mailboxes'],
      ['GET', `/v1/mailboxes?authorization=Bearer%20${ADMIN_TOKEN}`],
    ] as const) {
      await expectProblem(await call(method, path, { headers: { authorization: '' } }), 401, 'unauthorized');
    }
  });
});

test('the scheme may be written in any case', async () => {
  const response = await call('GET', '/v1/mailboxes', {
    headers: { authorization: `bearer ${ADMIN_TOKEN}` },
  });
  assert.equal(response.status, 200);
});

describe('404 for an id', () => {
  const wellFormed = () => operations.filter(({ path }) => path.includes('{id}'));
  const malformed: Record<string, (prefix: IdPrefix) => string> = {
    'of nothing': (prefix) => createId(prefix),
    'of another kind': (prefix) => createId(prefix === 'mbx' ? 'src' : 'mbx'),
    'without its prefix': (prefix) => createId(prefix).slice(prefix.length + 1),
    'in upper case': (prefix) => createId(prefix).toUpperCase(),
    'that is cut': (prefix) => createId(prefix).slice(0, -1),
    'that is a word': () => 'nothing',
    'with U+0000': (prefix) => `${createId(prefix).slice(0, -3)}%00`,
    'that is no UTF-8': () => '%ff%fe',
    'with a quote': (prefix) => `${createId(prefix)}'--`,
    'of 4000 characters': (prefix) => createId(prefix).padEnd(4000, '0'),
  };
  for (const [name, idOf] of Object.entries(malformed)) {
    test(name, async () => {
      for (const operation of wellFormed()) {
        const { method, path } = operation;
        const response = await call(
          method,
          filled(path, idOf(prefixOf(path)) as `mbx_${string}`),
          bodyOf(operation),
        );
        const { detail } = await expectProblem(response, 404, 'not_found');
        assert.ok(detail.length < 300);
      }
    });
  }
});

test('405 with Allow for a method that a path does not have', async () => {
  for (const path of new Set(operations.map((operation) => operation.path))) {
    const own = operations.filter((operation) => operation.path === path).map(({ method }) => method);
    const allowed = own.includes('GET') ? [...own, 'HEAD'] : own;
    for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'].filter(
      (one) => !own.includes(one),
    )) {
      const response = await call(method, filled(path));
      assert.deepEqual(
        response.headers.get('allow')?.split(', ').sort(),
        allowed.sort(),
        `${method} ${path}`,
      );
      await expectProblem(response, 405, 'method_not_allowed');
    }
  }
  const ingest = await call('GET', '/v1/ingest/raw/src_0');
  assert.equal(ingest.headers.get('allow'), 'POST');
  await expectProblem(ingest, 405, 'method_not_allowed');
  await expectProblem(await call('POST', '/healthz'), 405, 'method_not_allowed');
});

test('404 for a path that is not there', async () => {
  for (const path of [
    '/',
    '/v1',
    '/v1/',
    '/v1/nothing',
    '/v1/mailboxes/',
    '/v1//mailboxes',
    '/V1/mailboxes',
    '/%00',
    '/v2/a?b=c',
  ]) {
    await expectProblem(await call('GET', path), 404, 'not_found');
  }
});

describe('a body is refused', () => {
  const refused: [name: string, body: string, code: string][] = [
    ['cut short', '{"address":', 'invalid_json'],
    ['empty', '', 'invalid_json'],
    ['that is no JSON', 'address=me', 'invalid_json'],
    ['that is null', 'null', 'bad_request'],
    ['that is a list', '[]', 'bad_request'],
    ['nested 10,000 deep', '['.repeat(10_000) + ']'.repeat(10_000), 'bad_request'],
  ];
  for (const [name, body, code] of refused) {
    test(name, async () => {
      for (const { method, path } of withBody()) {
        await expectProblem(await call(method, filled(path), { body }), 400, code);
      }
    });
  }

  test('with a field that is not known', async () => {
    for (const operation of withBody()) {
      const { method, path } = operation;
      const body = JSON.stringify({ ...JSON.parse(bodyOf(operation).body ?? ''), adress: 'x' });
      const problem = await expectProblem(await call(method, filled(path), { body }), 400, 'bad_request');
      assert.match(JSON.stringify(problem.errors), /adress/);
    }
  });

  test('of more than 1 MiB, whatever it holds', async () => {
    for (const { method, path } of operations.filter((operation) => operation.method !== 'GET')) {
      const response = await call(method, filled(path), { body: ' '.repeat(1024 * 1024 + 1) });
      await expectProblem(response, 413, 'body_too_large');
    }
  });

  test('that is not said to be JSON, with that as the reason', async () => {
    for (const operation of withBody()) {
      const { method, path } = operation;
      const headers = { 'content-type': 'application/x-www-form-urlencoded' };
      const response = await call(method, filled(path), { headers, ...bodyOf(operation) });
      const problem = await expectProblem(response, 400, 'invalid_json');
      assert.match(problem.detail, /application\/json/);
    }
  });

  test('with many faults, of which it names some', async () => {
    const types = Array.from({ length: 5000 }, () => 'nothing');
    const response = await call('POST', '/v1/endpoints', {
      body: JSON.stringify({ url: 'https://a.example', types }),
    });
    assert.equal(faultPaths(await expectProblem(response, 400, 'bad_request')).length, 20);
  });
});

test('every answer carries a request id of its own', async () => {
  const ids = new Set<string | null>();
  for (const path of ['/healthz', '/v1/mailboxes', '/v1/nothing', '/v1/messages/x', '/openapi.json']) {
    ids.add((await call('GET', path)).headers.get('x-request-id'));
  }
  assert.equal(ids.size, 5);
  assert.ok(!ids.has(null));
});

test('HEAD answers as GET does, without the body', async () => {
  const response = await call('HEAD', '/v1/mailboxes');
  assert.deepEqual([response.status, await response.text()], [200, '']);
});
