import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createApp } from '../../src/http/app.ts';
import type { Services } from '../../src/http/services.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { captureLog } from './captured-log.ts';
import { type Document, type NamedOperation, operationsOf, readDocument } from './openapi-document.ts';

let service: TestService;
let document: Document;
let operations: NamedOperation[];
before(async () => {
  service = await startTestService({ dispatch: false });
  document = await readDocument(service.address);
  operations = operationsOf(document);
});
after(() => service.dispose());

test('is OpenAPI 3.1, for anyone', async () => {
  const response = await fetch(`${service.address}/openapi.json`);
  assert.equal(response.status, 200);
  assert.match(response.headers.get('content-type') ?? '', /^application\/json/);
  assert.match(document.openapi, /^3\.1\.\d+$/);
  assert.ok(document.info.title && document.info.version);
  assert.deepEqual(document.security, [{ key: [] }]);
  assert.deepEqual(document.components.securitySchemes, { key: { type: 'http', scheme: 'bearer' } });
});

test('costs little, whoever asks for it and how often', async () => {
  const before = process.cpuUsage();
  for (let n = 0; n < 100; n++) await (await fetch(`${service.address}/openapi.json`)).arrayBuffer();
  const { user, system } = process.cpuUsage(before);
  // Made anew each time it took six seconds.
  assert.ok((user + system) / 1000 < 2500);
});

test('names every route that is mounted, and no other', () => {
  const { log } = captureLog();
  // Mounting touches none of its services; only requests do.
  const services = { database: {}, ingressSources: {}, log, version: '0' };
  const mounted = createApp(services as unknown as Services)
    .routes.filter(({ method, path }) => method !== 'ALL' && path !== '/openapi.json')
    .map(({ method, path }) => `${method} ${path.replace(/:(\w+)/g, '{$1}')}`);
  assert.deepEqual(operations.map(({ name }) => name).sort(), [...new Set(mounted)].sort());
});

const needsKey = (path: string) =>
  path === '/metrics' || (path.startsWith('/v1/') && !path.startsWith('/v1/ingest/'));

describe('every operation', () => {
  test('has a summary, a tag, an answer, and each parameter of its path', () => {
    for (const { name, path, operation } of operations) {
      assert.ok(operation.summary && operation.tags.length === 1, name);
      const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, parameter]) => parameter);
      const told = (operation.parameters ?? []).filter((one) => one.in === 'path');
      assert.deepEqual(
        told.map((one) => one.name),
        inPath,
        name,
      );
      assert.ok(
        told.every(({ required }) => required),
        name,
      );
      assert.ok(
        Object.keys(operation.responses).some((status) => /^2\d\d$|^302$/.test(status)),
        name,
      );
    }
  });

  test('tells its problems: 401 with a key, 404 with an id, 400 with a body or a query', () => {
    for (const { name, path, operation } of operations) {
      const isOpen = operation.security?.length === 0;
      assert.equal(isOpen, !needsKey(path), name);
      const hasInput = operation.requestBody ?? operation.parameters?.some((one) => one.in === 'query');
      if (!isOpen) assert.ok(operation.responses[401], name);
      if (path.includes('{id}')) assert.ok(operation.responses[404], name);
      if (hasInput) assert.ok(operation.responses[400], name);
      for (const [status, { content }] of Object.entries(operation.responses)) {
        // People are told on a page.
        if (path.startsWith('/connect/') && status !== '302') {
          assert.deepEqual(Object.keys(content ?? {}), ['text/html'], `${name} ${status}`);
          continue;
        }
        const isProblem = content?.['application/problem+json'] !== undefined;
        assert.equal(isProblem, Number(status) >= 400, `${name} ${status}`);
      }
    }
  });

  test('has patterns that are of JSON Schema: without slashes and flags', () => {
    const patterns = [...JSON.stringify(document.paths).matchAll(/"pattern":("(?:[^"\\]|\\.)*")/g)];
    assert.ok(patterns.length > 5);
    for (const [, pattern = ''] of patterns) {
      const text = JSON.parse(pattern);
      assert.doesNotThrow(() => new RegExp(text, 'u'), text);
      assert.match(text, /^\^.*\$$/);
    }
  });
});
