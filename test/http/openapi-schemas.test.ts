import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { z } from 'zod';
import { readConfig } from '../../src/config.ts';
import {
  addSource,
  batch,
  gmailItem,
  mailOf,
  type PushSource,
  startTestService,
  type TestService,
} from '../support/service.ts';
import { type NamedOperation, operationsOf, readDocument, type Schema } from './openapi-document.ts';

let service: TestService;
let source: PushSource & { mailboxId: string };
let endpointId: string;
let operations: NamedOperation[];
before(async () => {
  const { google, microsoft } = readConfig({});
  const client = { id: 'client', secret: 'secret' };
  service = await startTestService({
    dispatch: false,
    google: { ...google, client },
    microsoft: { ...microsoft, client },
  });
  source = await addSource(service);
  endpointId = (await service.api('POST', '/v1/endpoints', { url: 'https://example.com/' })).body.id;
  operations = operationsOf(await readDocument(service.address));
});
after(() => service.dispose());

const operationOf = (name: string) => {
  const found = operations.find((one) => one.name === name);
  assert.ok(found, name);
  return found.operation;
};

function verdictOf(schema: Schema | undefined, value: unknown): boolean {
  assert.ok(schema);
  return z.fromJSONSchema(schema).safeParse(value).success;
}

describe('its schemas are the ones that validate', () => {
  const url = 'https://example.com/';
  const types = ['message.received', 'nothing'];
  /** Bodies that are right, and ones with a fault each; the document and the service have to agree on all. */
  const bodies: Record<string, unknown[]> = {
    'POST /v1/mailboxes': [
      { address: 'a@example.com' },
      { address: 'b@example.com', tenant: 'acme' },
      {},
      { address: 'example.com' },
      { address: 'a b@example.com' },
      { address: `${'a'.repeat(309)}@example.com` },
      { address: 'c@example.com', tenant: 'a/b' },
      { address: 'd@example.com', name: 'x' },
      [],
    ],
    'POST /v1/mailboxes/{id}/sources': [
      { kind: 'raw' },
      { kind: 'apps-script' },
      {},
      { kind: 'pop3' },
      { kind: 'raw', x: 1 },
      {
        kind: 'gmail',
        auth: { type: 'service-account' },
        since: '2026-01-01T00:00:00Z',
        settings: { sent: true },
      },
      { kind: 'gmail' },
      { kind: 'gmail', auth: { type: 'oauth' } },
      { kind: 'gmail', auth: { type: 'oauth', refreshToken: '' } },
      { kind: 'gmail', auth: { type: 'service-account' }, since: 'yesterday' },
      { kind: 'gmail', auth: { type: 'service-account' }, settings: { spam: true } },
    ],
    'PATCH /v1/sources/{id}': [
      { auth: { type: 'service-account' } },
      { settings: { sent: true } },
      {},
      { auth: { type: 'password' } },
      { settings: { sent: 1 } },
      { kind: 'raw' },
    ],
    'POST /v1/sources/{id}/sync': [{}, { since: '2026-01-01T00:00:00.000Z' }, { since: 1 }, { until: '' }],
    'POST /v1/mailboxes/{id}/connect': [
      { provider: 'google' },
      { provider: 'microsoft' },
      {},
      { provider: 'yahoo' },
      { provider: 'google', x: 1 },
    ],
    'POST /v1/endpoints': [
      { url },
      { url, tenant: null, types: ['gap.opened'], maxInFlight: 256, description: 'x' },
      {},
      { url: 'example' },
      { url: url.padEnd(2001, 'a') },
      { url, types },
      { url, types: [] },
      { url, maxInFlight: 0 },
      { url, maxInFlight: 1.5 },
      { url, tenant: 'a b' },
      { url, description: 'a'.repeat(1001) },
      { url, rules: {}, order: 'mailbox', ratePerSecond: 5, headers: { 'x-a': 'b' } },
      { url, rules: { senders: ['@example.com', '*'], placement: ['inbox'] } },
      { url, rules: { senders: ['example.com'] } },
      { url, rules: { sender: ['*'] } },
      { url, rules: { activeHours: { days: [8], start: '09:00', end: '18:00', timeZone: 'UTC' } } },
      { url, order: 'time' },
      { url, ratePerSecond: 0 },
      { url, headers: { 'x-a': 1 } },
    ],
    'PATCH /v1/endpoints/{id}': [
      {},
      { description: 'changed', order: null, rules: { outside: 'drop' } },
      { rules: { outside: 'wait' } },
      { types: [] },
      { tenant: 'acme' },
    ],
    'POST /v1/endpoints/{id}/retry': [{ since: '2026-11-20T10:00:00Z' }, {}, { since: 'yesterday' }],
    'POST /v1/endpoints/{id}/replay': [
      { since: '2026-11-20T10:00:00Z', ignoreRules: true },
      { since: '2026-11-20' },
      { since: '2026-11-20T10:00:00Z', ignoreRules: 1 },
      {},
    ],
    'POST /v1/keys': [
      { role: 'reader' },
      { role: 'admin', tenant: null, description: 'x' },
      { role: 'operator', tenant: 'acme' },
      {},
      { role: 'owner' },
      { role: 'reader', tenant: '' },
      { role: 'reader', description: 'a'.repeat(1001) },
      { role: 'reader', key: 'mgk_' },
    ],
    'PATCH /v1/mailboxes/{id}': [{ address: 'changed@example.com' }, {}, { address: '' }, { tenant: 'acme' }],
  };

  test('all bodies are looked at', () => {
    const taking = operations.filter(
      ({ path, operation }) => operation.requestBody && !path.includes('/ingest/'),
    );
    assert.deepEqual(Object.keys(bodies).sort(), taking.map(({ name }) => name).sort());
  });

  for (const [name, values] of Object.entries(bodies)) {
    test(name, async () => {
      const [method = '', path = ''] = name.split(' ');
      const schema = operationOf(name).requestBody?.content['application/json']?.schema;
      for (const value of values) {
        const id = path.includes('/sources/{id}')
          ? source.id
          : path.includes('/endpoints/{id}')
            ? endpointId
            : source.mailboxId;
        const { status } = await service.api(method, path.replace('{id}', id), value);
        // A body may be right, and its time or place wrong: 409, or 503 for a provider that is not set up.
        assert.equal(
          status !== 400,
          verdictOf(schema, value),
          `${status} ${JSON.stringify(value).slice(0, 200)}`,
        );
      }
    });
  }

  test('of what a script posts', async () => {
    const schema = operationOf('POST /v1/ingest/apps-script/{sourceId}').requestBody?.content[
      'application/json'
    ]?.schema;
    const whole = gmailItem('a1', mailOf('Whole'));
    const truncated = {
      id: 'a2',
      truncated: true,
      headers: 'Subject: x\r\n',
      snippet: null,
      internalDate: -1,
    };
    for (const value of [
      JSON.parse(
        batch([whole, truncated], { cursor: { from: '1', to: '2' }, missing: ['a'], gap: null, backlog: 0 }),
      ),
      { kind: 'ping', script: { version: '1', account: 'a' } },
      { subject: 's', sender: 'a@example.com', body: 'b', date: '2026-11-20T10:00:00Z' },
      { kind: 'letters', messages: [] },
      { kind: 'messages' },
      { kind: 'messages', messages: [], cursor: { from: 1, to: 2 } },
      { kind: 'messages', messages: [], failed: [{ id: 'a b', error: 'x' }] },
      { subject: 's' },
    ]) {
      const { status } = await service.push(source, JSON.stringify(value));
      assert.equal(status === 200, verdictOf(schema, value), JSON.stringify(value).slice(0, 200));
    }
  });

  test('of queries', async () => {
    for (const [name, query, isRight] of [
      ['GET /v1/mailboxes', { limit: 500 }, true],
      ['GET /v1/mailboxes', { limit: 501 }, false],
      ['GET /v1/mailboxes', { limit: 0 }, false],
      ['GET /v1/messages', { placement: 'spam' }, true],
      ['GET /v1/messages', { placement: 'nowhere' }, false],
      ['GET /v1/sources', { state: 'idle', tenant: 'acme' }, true],
      ['GET /v1/sources', { tenant: 'a b' }, false],
      ['GET /v1/deliveries', { status: 'lost' }, false],
    ] as const) {
      const parameters = operationOf(name).parameters ?? [];
      const verdicts = Object.entries(query).map(([key, value]) =>
        verdictOf(parameters.find((one) => one.name === key)?.schema, value),
      );
      assert.equal(verdicts.every(Boolean), isRight, JSON.stringify(query));
      const search = Object.entries(query)
        .map(([key, value]) => `${key}=${encodeURIComponent(value)}`)
        .join('&');
      const { status } = await service.api('GET', `${name.slice(4)}?${search}`);
      assert.equal(status, isRight ? 200 : 400);
    }
  });

  test('of answers', async () => {
    const { body: endpoint } = await service.api('POST', '/v1/endpoints', { url });
    await service.api('POST', `/v1/endpoints/${endpoint.id}/test`);
    await service.api('POST', `/v1/endpoints/${endpoint.id}/replay`, { since: '2026-01-01T00:00:00Z' });
    await service.push(source, batch([gmailItem('a2', mailOf('Whole now'))]));
    let looked = 0;
    for (const { path, method, operation } of operations) {
      const schema = operation.responses[200]?.content?.['application/json']?.schema;
      if (method !== 'GET' || schema === undefined) continue;
      const list = path.includes('{id}')
        ? await service.api('GET', path.slice(0, path.indexOf('/{id}')))
        : undefined;
      const ids: string[] = list === undefined ? [''] : list.body.data.map(({ id }: { id: string }) => id);
      assert.ok(ids.length > 0, path);
      for (const id of ids) {
        const { status, body } = await service.api('GET', path.replace('{id}', id));
        assert.equal(status, 200);
        const parsed = z.fromJSONSchema(schema).safeParse(body);
        assert.ok(parsed.success, `${path}: ${parsed.error}`);
        looked++;
      }
    }
    assert.ok(looked > 15);
  });
});
