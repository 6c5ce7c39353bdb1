import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createId, type IdPrefix } from '../../src/core/ids.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { type NamedOperation, operationsOf, readDocument } from './openapi-document.ts';
import { BODIES } from './request-bodies.ts';
import { callWith, furnishOperator, furnishTenant, type Ids, type Owner, readRows } from './two-tenants.ts';

/*
 * Two tenants on one service. Whatever route of /openapi.json a key of the one calls, with the ids of the other in
 * whatever place, it finds nothing and changes nothing.
 */

let service: TestService;
let operations: NamedOperation[];
let acme: Owner;
let beta: Owner;
let ofAll: Partial<Ids>;
before(async () => {
  service = await startTestService({ dispatch: false });
  operations = operationsOf(await readDocument(service.address)).filter(
    ({ path, operation }) => path.startsWith('/v1/') && operation.security?.length !== 0,
  );
  ofAll = await furnishOperator(service);
  acme = await furnishTenant(service, 'acme');
  beta = await furnishTenant(service, 'beta');
});
after(() => service.dispose());

/** As who calls: the strongest key that a tenant can have. */
const call = (method: string, path: string, body?: unknown) =>
  callWith(service, beta.keys.admin, method, path, body);
const foreignIds = () => [...Object.values(acme.ids), ...Object.values(ofAll)];
const isStream = ({ operation }: NamedOperation) =>
  operation.responses[200]?.content?.['text/event-stream'] !== undefined;
const bodyOf = ({ name, operation }: NamedOperation) => (operation.requestBody ? BODIES[name] : undefined);

/** Holds that an answer says nothing of the other tenant's, but for ids that the request itself named. */
function assertNothingOf(text: string, named: string, what: string): void {
  const shown = foreignIds().filter((id) => id !== named && text.includes(id));
  assert.deepEqual(shown, [], `${what}: ${text.slice(0, 500)}`);
  assert.ok(!/acme|of-all/.test(text), `${what}: ${text.slice(0, 500)}`);
}

test('with ids of another tenant in its path, every route is 404, and nothing is changed', async () => {
  const rows = await readRows(service.databaseUrl);
  let called = 0;
  for (const operation of operations.filter(({ path }) => path.includes('{id}'))) {
    for (const id of foreignIds()) {
      const path = operation.path.replace('{id}', id).replace('{n}', '0');
      const { status, text } = await call(operation.method, path, bodyOf(operation));
      assert.equal(status, 404, `${operation.method} ${path}: ${text}`);
      assertNothingOf(text, id, operation.name);
      called++;
    }
  }
  assert.ok(called > 300);
  assert.deepEqual(await readRows(service.databaseUrl), rows);
});

test('with ids of another tenant in its query, no route shows anything of them', async () => {
  for (const operation of operations.filter((one) => one.method === 'GET' && !isStream(one))) {
    const parameters = (operation.operation.parameters ?? []).filter((one) => one.in === 'query');
    const own = operation.path.replace('{id}', beta.ids[prefixOf(operation.path)]).replace('{n}', '0');
    for (const { name } of parameters) {
      for (const value of [...foreignIds(), 'acme']) {
        const { status, text } = await call('GET', `${own}?${name}=${value}`);
        const isEmpty = status === 200 && /^\{"data":\[\]/.test(text);
        const isOwn = status === 200 && !text.includes(value);
        assert.ok(status >= 400 || isEmpty || isOwn, `${own}?${name}=${value}: ${status} ${text}`);
        if (status === 200) assertNothingOf(text, '', `${own}?${name}=${value}`);
      }
    }
  }
});

test('with ids of another tenant in its body, no route does anything', async () => {
  const rows = await readRows(service.databaseUrl);
  for (const operation of operations.filter((one) => one.operation.requestBody !== undefined)) {
    const { method, path, operation: documented } = operation;
    const schema = documented.requestBody?.content['application/json']?.schema as {
      properties?: Record<string, unknown>;
    };
    const own = path.replace('{id}', beta.ids[prefixOf(path)]);
    for (const id of foreignIds()) {
      for (const place of [...Object.keys(schema?.properties ?? {}), 'other']) {
        for (const value of [id, [id], { deep: [id] }]) {
          const { status, text } = await call(method, own, { ...bodyOf(operation), [place]: value });
          assert.ok(status === 404 || (place === 'tenant' && status === 403), `${method} ${own}: ${text}`);
        }
      }
    }
  }
  assert.deepEqual(await readRows(service.databaseUrl), rows);
});

test('what is of another tenant and what is not there are told alike', async () => {
  for (const operation of operations.filter(({ path }) => path.includes('{id}'))) {
    const answers: string[] = [];
    const prefix = prefixOf(operation.path);
    for (const id of [acme.ids[prefix], ofAll[prefix] ?? createId(prefix), createId(prefix)]) {
      const path = operation.path.replace('{id}', id).replace('{n}', '0');
      const { status, text } = await call(operation.method, path, bodyOf(operation));
      answers.push(`${status} ${text.replaceAll(id, '{id}')}`);
    }
    assert.equal(new Set(answers).size, 1, answers.join('\n'));
    // And to a key of all tenants in the same words.
    const id = createId(prefix);
    const path = operation.path.replace('{id}', id).replace('{n}', '0');
    const { body } = await service.api(operation.method, path, bodyOf(operation));
    assert.equal(`404 ${JSON.stringify(body).replaceAll(id, '{id}')}`, answers[0]);
  }
});

test('every list shows what is of the tenant, and nothing else', async () => {
  let lists = 0;
  for (const operation of operations.filter((one) => one.method === 'GET' && !isStream(one))) {
    const { path } = operation;
    if (path.includes('{') || path === '/v1/doctor') continue;
    for (const owner of [acme, beta]) {
      const { status, text } = await callWith(service, owner.keys.admin, 'GET', `${path}?limit=500`);
      assert.equal(status, 200, text);
      assert.ok(JSON.parse(text).data.length > 0, path);
      const other = owner === acme ? beta : acme;
      for (const id of [...Object.values(other.ids), ...Object.values(ofAll)]) {
        assert.ok(!text.includes(id), `${path}: ${text.slice(0, 500)}`);
      }
    }
    lists++;
  }
  assert.ok(lists >= 7);
});

test('a key sees its own, by every route that shows something', async () => {
  for (const operation of operations) {
    if (operation.method !== 'GET' || !operation.path.includes('{id}')) continue;
    const path = operation.path.replace('{id}', acme.ids[prefixOf(operation.path)]).replace('{n}', '0');
    const { status, text } = await callWith(service, acme.keys.admin, 'GET', path);
    assert.equal(status, 200, `${path}: ${text}`);
  }
});

describe('what a key of a tenant makes', () => {
  const creating = () =>
    operations.filter(({ operation }) => {
      const schema = operation.requestBody?.content['application/json']?.schema as { properties?: object };
      return schema?.properties !== undefined && 'tenant' in schema.properties;
    });

  test('is of that tenant, said or not', async () => {
    assert.ok(creating().length >= 3);
    for (const [index, given] of [{}, { tenant: 'beta' }].entries()) {
      for (const operation of creating().filter(({ method }) => method === 'POST')) {
        const body: Record<string, unknown> = { ...bodyOf(operation), ...given };
        if ('address' in body) body.address = `own-${index}@example.com`;
        const { status, text } = await call(operation.method, operation.path, body);
        assert.deepEqual([status, JSON.parse(text).tenant], [201, 'beta'], text);
      }
    }
  });

  test('cannot be of another, or of all', async () => {
    const rows = await readRows(service.databaseUrl);
    for (const operation of creating()) {
      const path = operation.path.replace('{id}', beta.ids[prefixOf(operation.path)]);
      const body = { ...bodyOf(operation) };
      for (const tenant of ['acme', 'gamma', 'Beta', '', null, ['beta']]) {
        const { status, text } = await call(operation.method, path, { ...body, tenant });
        assert.deepEqual([status, JSON.parse(text).code], [403, 'forbidden'], text);
      }
      // Of two the last one counts, to us as to the route.
      const twice = `{"tenant":"beta",${JSON.stringify({ ...body, tenant: 'acme' }).slice(1)}`;
      assert.equal((await call(operation.method, path, twice)).status, 403);
    }
    assert.deepEqual(await readRows(service.databaseUrl), rows);
  });
});

test('an id written in another way opens nothing either', async () => {
  const { mbx } = acme.ids;
  for (const id of [
    `%6d${mbx.slice(1)}`,
    `%256d${mbx.slice(1)}`,
    `${mbx.slice(0, -1)}%${mbx.charCodeAt(mbx.length - 1).toString(16)}`,
    mbx.toUpperCase(),
    `${mbx}/`,
    `./${mbx}`,
    `x/../${mbx}`,
    `%2e%2e/mailboxes/${mbx}`,
  ]) {
    const { status, text } = await call('GET', `/v1/mailboxes/${id}`);
    assert.equal(status, 404, `${id}: ${text}`);
  }
  const escaped = `{"address":"a@example.com","other":"\\u006d${mbx.slice(1)}"}`;
  assert.equal((await call('POST', '/v1/mailboxes', escaped)).status, 404);
  for (const query of [`mailbox=%6d${mbx.slice(1)}`, `mailbox=x&mailbox=${mbx}`, `mailbox=+${mbx}`]) {
    const { status, text } = await call('GET', `/v1/messages?${query}`);
    assert.ok(status === 404 || status === 400, `${query}: ${status} ${text}`);
  }
});

test('a body of very many ids is refused, and one nested very deep does no harm', async () => {
  const ids = Array.from({ length: 1001 }, () => createId('mbx'));
  const many = await call('POST', '/v1/endpoints', { url: 'https://example.com/', ids });
  assert.equal(many.status, 400);
  const deep = `{"a":${'['.repeat(10_000)}"${acme.ids.mbx}"${']'.repeat(10_000)}}`;
  assert.equal((await call('POST', '/v1/endpoints', deep)).status, 404);
});

test('pages of the log go on behind what is of others', async () => {
  const seen: string[] = [];
  for (let after = ''; ; ) {
    const { text } = await call('GET', `/v1/events?limit=1${after}`);
    const page = JSON.parse(text);
    seen.push(...page.data.map(({ id }: { id: string }) => id));
    if (page.data.length === 0) break;
    after = `&after=${page.next}`;
  }
  assert.ok(seen.includes(beta.ids.evt));
  assert.equal(new Set(seen).size, seen.length);
  assert.ok(!foreignIds().some((id) => seen.includes(id)));
});

test('a link to connect a mailbox is made in a browser with an operator key of its tenant alone', async () => {
  const begin = (key: string) =>
    callWith(service, key, 'GET', `/connect/google?mailbox=${acme.ids.mbx}`).then(({ status }) => status);
  // No client of Google is configured here: 503 is behind the door.
  assert.equal(await begin(acme.keys.operator), 503);
  assert.equal(await begin(acme.keys.reader), 403);
  assert.equal(await begin(beta.keys.admin), 404);
  assert.equal(await begin('wrong'), 403);
});

const PREFIXES: Record<string, keyof Ids> = {
  mailboxes: 'mbx',
  sources: 'src',
  endpoints: 'ep',
  messages: 'msg',
  deliveries: 'dlv',
  replays: 'rpl',
  keys: 'key',
};

function prefixOf(path: string): keyof Ids & IdPrefix {
  return PREFIXES[path.split('/')[2] ?? ''] ?? 'mbx';
}
