import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Webhook } from 'standardwebhooks';
import { startConsumer } from '../support/consumer.ts';
import { ADMIN_TOKEN, startTestService, type TestService } from '../support/service.ts';
import { expectProblem, faultPaths } from './problem.ts';

let service: TestService;
/** Its egress is that of production: no private network, no loopback. */
let strict: TestService;
before(async () => {
  service = await startTestService();
  strict = await startTestService({ allowLoopback: false, dispatch: false });
});
after(async () => {
  await strict.dispose();
  await service.dispose();
});

const HOURS = { days: [1], start: '09:00', end: '18:00', timeZone: 'Europe/Paris' };

function create(body: unknown, at = strict) {
  const headers = { authorization: `Bearer ${ADMIN_TOKEN}`, 'content-type': 'application/json' };
  return fetch(`${at.address}/v1/endpoints`, { method: 'POST', headers, body: JSON.stringify(body) });
}

test('an endpoint is created with its secret, and got and listed without', async () => {
  const { status, body } = await strict.api('POST', '/v1/endpoints', { url: 'https://example.com/hook?a=b' });
  assert.equal(status, 201);
  const { secret, ...endpoint } = body;
  assert.match(secret, /^whsec_[A-Za-z0-9+/]{43}=$/);
  const { id, createdAt, ...rest } = endpoint;
  assert.match(id, /^ep_[0-9a-f]{32}$/);
  assert.equal(new Date(createdAt).toISOString(), createdAt);
  assert.deepEqual(rest, {
    tenant: null,
    url: 'https://example.com/hook?a=b',
    description: '',
    types: ['message.received'],
    rules: {},
    order: null,
    maxInFlight: 16,
    ratePerSecond: null,
    headerNames: [],
    enabled: true,
    disabledReason: null,
    failingSince: null,
  });
  assert.deepEqual(await strict.api('GET', `/v1/endpoints/${id}`), { status: 200, body: endpoint });
  assert.deepEqual((await strict.api('GET', '/v1/endpoints')).body.data, [endpoint]);
});

test('what is given is kept', async () => {
  const given = {
    url: 'https://example.com/',
    tenant: 'acme',
    description: 'Ünïcode 🎉',
    types: ['gap.opened', 'source.silent'],
    maxInFlight: 1,
    rules: { senders: ['@b.c'], activeHours: HOURS, outside: 'drop', subjectGroup: { windowMs: 60_000 } },
    order: 'mailbox',
    ratePerSecond: 5,
  };
  const { body } = await strict.api('POST', '/v1/endpoints', given);
  for (const [name, value] of Object.entries(given)) assert.deepEqual(body[name], value);
});

test('a domain written as *@domain is kept as @domain', async () => {
  const made = await strict.api('POST', '/v1/endpoints', {
    url: 'https://example.com/',
    rules: { senders: ['*@b.c'] },
  });
  assert.deepEqual(made.body.rules, { senders: ['@b.c'] });
  const path = `/v1/endpoints/${made.body.id}`;
  const changed = await strict.api('PATCH', path, { rules: { recipients: ['*@d.e', '*'] } });
  assert.deepEqual(changed.body.rules, { recipients: ['@d.e', '*'] });
});

test('a URL is kept without the blanks and line breaks that no URL has', async () => {
  const { body } = await strict.api('POST', '/v1/endpoints', { url: ' https://example.com/\r\nx ' });
  assert.equal(body.url, 'https://example.com/x');
});

describe('egress_blocked', () => {
  for (const url of [
    'http://127.0.0.1/',
    'http://localhost:8080/',
    'http://a.localhost/',
    'http://0.0.0.0/',
    'http://10.0.0.1/',
    'http://172.16.0.1/',
    'http://192.168.1.1/',
    'http://169.254.169.254/latest/meta-data',
    'http://metadata.google.internal/',
    'http://[::1]/',
    'http://[fd00::1]/',
    'http://[::ffff:10.0.0.1]/',
    'http://2130706433/',
    'http://0x7f.1/',
    'http://127.1/',
    'https://user:secret-word@example.com/',
    'https://user@example.com/',
    'ftp://example.com/',
    'file:///etc/passwd',
    'javascript:alert(1)',
    'data:text/plain,x',
    'ws://example.com/',
    'mailto:me@example.com',
  ]) {
    test(url, async () => {
      const problem = await expectProblem(await create({ url }), 400, 'egress_blocked');
      assert.deepEqual(faultPaths(problem), ['url']);
      assert.ok(!JSON.stringify(problem).includes('secret-word'));
    });
  }

  test('and no such endpoint is kept', async () => {
    const { body } = await strict.api('GET', '/v1/endpoints?limit=500');
    assert.deepEqual(
      body.data.filter(({ url }: { url: string }) => !url.startsWith('https://example.com/')),
      [],
    );
  });
});

describe('what is no endpoint is refused, saying where', () => {
  const url = 'https://example.com/';
  const cases: [name: string, body: unknown, paths: string[]][] = [
    ['no URL', {}, ['url']],
    ['no absolute URL', { url: '/hook' }, ['url']],
    ['a word', { url: 'example' }, ['url']],
    ['an empty URL', { url: '' }, ['url']],
    ['a URL without host', { url: 'https://' }, ['url']],
    ['a URL with U+0000', { url: 'https://example.com/\0' }, ['url']],
    ['a URL of 2001 characters', { url: url.padEnd(2001, 'a') }, ['url']],
    ['no types', { url, types: [] }, ['types']],
    ['an unknown type', { url, types: ['message.received', 'message.sent'] }, ['types.1']],
    ['types that are no list', { url, types: 'message.received' }, ['types']],
    ['none in flight', { url, maxInFlight: 0 }, ['maxInFlight']],
    ['too many in flight', { url, maxInFlight: 257 }, ['maxInFlight']],
    ['half in flight', { url, maxInFlight: 1.5 }, ['maxInFlight']],
    ['a tenant with U+0000', { url, tenant: 'a\0b' }, ['tenant']],
    ['a tenant that can be none', { url, tenant: 'a b' }, ['tenant']],
    ['a description with U+0000', { url, description: 'a\0b' }, ['description']],
    ['a description of 1001 characters', { url, description: 'a'.repeat(1001) }, ['description']],
    ['a * within an address', { url, rules: { senders: ['a*@b.c'] } }, ['rules.senders.0']],
    ['unknown rules', { url, rules: { sender: ['*'] } }, ['rules']],
    [
      'a window of no length',
      { url, rules: { activeHours: { ...HOURS, end: '09:00' } } },
      ['rules.activeHours.end'],
    ],
    [
      'a zone that does not exist',
      { url, rules: { activeHours: { ...HOURS, timeZone: 'Europe/Atlantis' } } },
      ['rules.activeHours.timeZone'],
    ],
    ['another order', { url, order: 'time' }, ['order']],
    ['no rate', { url, ratePerSecond: 0 }, ['ratePerSecond']],
    ['a header that is ours', { url, headers: { 'Webhook-Id': 'x' } }, ['headers']],
    ['a header of the connection', { url, headers: { 'transfer-encoding': 'chunked' } }, ['headers']],
    ['a header with a line break', { url, headers: { 'x-a': 'a\r\nx-b: c' } }, ['headers']],
    ['a header twice', { url, headers: { 'x-a': '1', 'X-A': '2' } }, ['headers']],
    ['a header without a name', { url, headers: { '': '1' } }, ['headers']],
    ['headers of 5 kB', { url, headers: { a: 'x'.repeat(2500), b: 'x'.repeat(2500) } }, ['headers']],
    ['several faults', { url, types: [], maxInFlight: '1' }, ['types', 'maxInFlight']],
  ];
  for (const [name, body, paths] of cases) {
    test(name, async () => {
      assert.deepEqual(faultPaths(await expectProblem(await create(body), 400, 'bad_request')), paths);
    });
  }
});

test('a test event reaches this endpoint alone, whatever its types, signed with both secrets after a rotation', async () => {
  const [consumer, other] = [await startConsumer(), await startConsumer()];
  const given = { url: consumer.url, types: ['gap.opened'] };
  const { body: endpoint } = await service.api('POST', '/v1/endpoints', given);
  await service.api('POST', '/v1/endpoints', { url: other.url, types: ['gap.opened', 'message.received'] });
  const rotated = await service.api('POST', `/v1/endpoints/${endpoint.id}/rotate-secret`);
  assert.equal(rotated.status, 200);
  assert.notEqual(rotated.body.secret, endpoint.secret);

  const queued = await service.api('POST', `/v1/endpoints/${endpoint.id}/test`);
  assert.equal(queued.status, 202);
  const [webhook] = await consumer.waitFor(1);
  assert.ok(webhook);
  assert.equal(webhook.headers['webhook-id'], queued.body.eventId);
  for (const secret of [endpoint.secret, rotated.body.secret]) {
    const event = new Webhook(secret).verify(webhook.body, webhook.headers as Record<string, string>);
    assert.equal((event as { type: string }).type, 'endpoint.test');
  }
  assert.ok(!webhook.body.includes('whsec_'));
  assert.equal(other.received.length, 0);
  await consumer.close();
  await other.close();
});

test('a disabled endpoint gets nothing until it is enabled, and then what was pending', async () => {
  const consumer = await startConsumer();
  const { body: endpoint } = await service.api('POST', '/v1/endpoints', { url: consumer.url });
  const path = `/v1/endpoints/${endpoint.id}`;
  for (const _ of [1, 2]) {
    const { body } = await service.api('POST', `${path}/disable`);
    assert.deepEqual([body.enabled, body.disabledReason], [false, 'disabled by request']);
  }
  await service.api('POST', `${path}/test`);
  const { body: pending } = await service.api('GET', `/v1/deliveries?endpoint=${endpoint.id}`);
  assert.deepEqual([pending.data.length, pending.data[0].status], [1, 'pending']);
  const { body } = await service.api('POST', `${path}/enable`);
  assert.deepEqual([body.enabled, body.disabledReason], [true, null]);
  await consumer.waitFor(1);
  await consumer.close();
});

test('a deleted endpoint is gone, with what was still to be sent to it', async () => {
  const { body: endpoint } = await strict.api('POST', '/v1/endpoints', { url: 'https://example.com/gone' });
  const path = `/v1/endpoints/${endpoint.id}`;
  const { body: queued } = await strict.api('POST', `${path}/test`);
  assert.equal((await strict.api('DELETE', path)).status, 204);
  assert.equal((await strict.api('DELETE', path)).status, 404);
  for (const verb of ['test', 'rotate-secret', 'enable', 'disable']) {
    assert.equal((await strict.api('POST', `${path}/${verb}`)).status, 404);
  }
  assert.equal((await strict.api('GET', `/v1/deliveries/${queued.deliveryId}`)).status, 404);
});

describe('a change', () => {
  test('is of what it names alone, and replaces that as a whole', async () => {
    const { body: made } = await strict.api('POST', '/v1/endpoints', {
      url: 'https://example.com/',
      rules: { senders: ['*'], hasAttachment: true },
      headers: { 'x-a': '1', 'x-b': '2' },
      tenant: 'acme',
    });
    const { secret: _, ...before } = made;
    const path = `/v1/endpoints/${made.id}`;
    for (const [change, after] of [
      [{}, {}],
      [{ description: 'new' }, {}],
      [{ url: 'https://example.com/new' }, {}],
      [{ rules: { maxSizeBytes: 5 } }, {}],
      [{ order: 'mailbox', ratePerSecond: 3, maxInFlight: 2 }, {}],
      [{ order: null, ratePerSecond: null }, {}],
      [{ types: ['gap.opened'] }, {}],
      [{ headers: { 'x-c': '3' } }, { headerNames: ['x-c'] }],
      [{ headers: {} }, { headerNames: [] }],
    ] as [Record<string, unknown>, Record<string, unknown>][]) {
      const { headers: __, ...told } = change;
      Object.assign(before, told, after);
      assert.deepEqual(await strict.api('PATCH', path, change), { status: 200, body: before });
      assert.deepEqual((await strict.api('GET', path)).body, before);
    }
  });

  test('that cannot be is refused, and changes nothing', async () => {
    const { body: made } = await strict.api('POST', '/v1/endpoints', { url: 'https://example.com/' });
    const path = `/v1/endpoints/${made.id}`;
    for (const [change, code] of [
      [{ url: 'http://10.0.0.1/' }, 'egress_blocked'],
      [{ url: 'https://user:pass@example.com/' }, 'egress_blocked'],
      [{ tenant: 'acme' }, 'bad_request'],
      [{ enabled: false }, 'bad_request'],
      [{ types: [] }, 'bad_request'],
      [{ rules: null }, 'bad_request'],
      [{ description: 'x', rules: { placement: ['x'] } }, 'bad_request'],
    ] as const) {
      const { status, body } = await strict.api('PATCH', path, change);
      assert.deepEqual([status, body.code], [400, code]);
    }
    const { secret: _, ...endpoint } = made;
    assert.deepEqual((await strict.api('GET', path)).body, endpoint);
    assert.equal((await strict.api('PATCH', `/v1/endpoints/ep_${'0'.repeat(32)}`, {})).status, 404);
  });
});

test('headers of an endpoint go along with each webhook, and no answer shows their values', async () => {
  const consumer = await startConsumer();
  const headers = { 'X-Api-Key': 's3cret-word', authorization: 'Bearer s3cret-word' };
  const made = await service.api('POST', '/v1/endpoints', { url: consumer.url, headers });
  const path = `/v1/endpoints/${made.body.id}`;
  assert.deepEqual(made.body.headerNames, ['X-Api-Key', 'authorization']);
  const { body: queued } = await service.api('POST', `${path}/test`);
  const [webhook] = await consumer.waitFor(1);
  assert.equal(webhook?.headers['x-api-key'], 's3cret-word');
  assert.equal(webhook?.headers.authorization, 'Bearer s3cret-word');
  new Webhook(made.body.secret).verify(webhook?.body ?? '', webhook?.headers as Record<string, string>);
  const answers = [made, await service.api('GET', path), await service.api('GET', '/v1/endpoints?limit=500')];
  answers.push(await service.api('GET', `/v1/deliveries/${queued.deliveryId}`));
  assert.ok(!JSON.stringify(answers).includes('s3cret') && !webhook?.body.includes('s3cret'));
  await service.api('DELETE', path);
  await consumer.close();
});
