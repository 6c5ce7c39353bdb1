import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, test } from 'node:test';
import { startTestService, type TestService } from '../support/service.ts';
import { type Document, operationsOf, readDocument } from './openapi-document.ts';

let service: TestService;
let response: Response;
let page: string;
let document: Document & { webhooks: object };
before(async () => {
  service = await startTestService({ dispatch: false });
  response = await fetch(`${service.address}/docs`);
  page = await response.text();
  document = (await readDocument(service.address)) as typeof document;
});
after(() => service.dispose());

const textOf = (html: string) =>
  html
    .replace(/<[^>]*>/g, '')
    .replace(
      /&(lt|gt|quot|#39|amp);/g,
      (_, name) => ({ lt: '<', gt: '>', quot: '"', '#39': "'", amp: '&' })[name as 'lt'],
    );

test('is a page for anyone, that loads nothing and runs nothing', () => {
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('content-type'), 'text/html; charset=utf-8');
  assert.equal(response.headers.get('x-content-type-options'), 'nosniff');
  assert.doesNotMatch(page, /<script|<link|<img|<iframe|\bsrc=|\bstyle=|\bon[a-z]+=|@import|url\(/i);
});

test('allows its own style alone', () => {
  const [, style = ''] = /<style>([\s\S]*)<\/style>/.exec(page) ?? [];
  const hash = createHash('sha256').update(style).digest('base64');
  assert.equal(
    response.headers.get('content-security-policy'),
    `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  );
});

test('names every call and every event, each at an address of its own', () => {
  for (const { method, path, operation } of operationsOf(document)) {
    assert.ok(page.includes(`<b>${method}</b> ${path}</code>`), `${method} ${path}`);
    assert.ok(textOf(page).includes(operation.summary), operation.summary);
  }
  for (const type of Object.keys(document.webhooks))
    assert.ok(page.includes(`<b>event</b> ${type}</code>`), type);
  const ids = [...page.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id);
  assert.equal(new Set(ids).size, ids.length);
});

test('its tags close in the order they were opened', () => {
  const open: string[] = [];
  for (const [, close, name = ''] of page.matchAll(/<(\/?)([a-z][a-z0-9]*)\b[^>]*>/g)) {
    if (name === 'meta') continue;
    if (close === '') open.push(name);
    else assert.equal(open.pop(), name);
  }
  assert.deepEqual(open, []);
});

test('says what a message is, in words that a person reads', () => {
  const text = textOf(page);
  assert.match(text, /^ {4}messageId: string \| null {2}\/\/ Message-ID, with angle brackets$/m);
  assert.match(text, /^ {4}headers: \[string, string\]\[\] {2}\/\/ All, in their order, unfolded$/m);
  assert.ok(Buffer.byteLength(page) < 500_000, `${Buffer.byteLength(page)} bytes`);
});
