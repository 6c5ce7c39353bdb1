import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ADMIN_TOKEN, addSource, startTestService, type TestService } from '../support/service.ts';
import { expectProblem, faultPaths } from './problem.ts';

let service: TestService;
before(async () => {
  service = await startTestService();
});
after(() => service.dispose());

const send = (method: string, path: string, body: unknown) =>
  fetch(`${service.address}${path}`, {
    method,
    headers: { authorization: `Bearer ${ADMIN_TOKEN}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });

test('a mailbox is created, got, listed, changed and deleted', async () => {
  const created = await service.api('POST', '/v1/mailboxes', { address: 'One@example.com' });
  assert.equal(created.status, 201);
  const { id, createdAt, ...rest } = created.body;
  assert.match(id, /^mbx_[0-9a-f]{32}$/);
  assert.equal(new Date(createdAt).toISOString(), createdAt);
  assert.deepEqual(rest, { tenant: 'default', address: 'One@example.com', authenticationServers: [] });

  const path = `/v1/mailboxes/${id}`;
  assert.deepEqual(await service.api('GET', path), { status: 200, body: created.body });
  const changed = { ...created.body, address: 'two@example.com' };
  assert.deepEqual(await service.api('PATCH', path, { address: 'two@example.com' }), {
    status: 200,
    body: changed,
  });
  assert.deepEqual((await service.api('GET', '/v1/mailboxes')).body, { data: [changed], next: null });

  assert.deepEqual(await service.api('DELETE', path), { status: 204, body: undefined });
  for (const method of ['GET', 'DELETE']) assert.equal((await service.api(method, path)).status, 404);
  assert.equal((await service.api('PATCH', path, { address: 'three@example.com' })).status, 404);
});

test('an address is watched once a tenant, whatever its case', async () => {
  const given = { address: 'twice@example.com' };
  const { body: first } = await service.api('POST', '/v1/mailboxes', given);
  await expectProblem(await send('POST', '/v1/mailboxes', { address: 'TWICE@example.com' }), 409, 'conflict');
  assert.equal((await service.api('POST', '/v1/mailboxes', { ...given, tenant: 'other' })).status, 201);

  const { body: second } = await service.api('POST', '/v1/mailboxes', { address: 'second@example.com' });
  await expectProblem(await send('PATCH', `/v1/mailboxes/${second.id}`, given), 409, 'conflict');
  assert.equal(
    (await service.api('PATCH', `/v1/mailboxes/${first.id}`, { address: 'Twice@example.com' })).status,
    200,
  );
});

test('of posts of one address at once one makes it', async () => {
  const posts = Array.from({ length: 8 }, () =>
    service.api('POST', '/v1/mailboxes', { address: 'race@example.com' }),
  );
  const statuses = (await Promise.all(posts)).map(({ status }) => status).sort();
  assert.deepEqual(statuses, [201, 409, 409, 409, 409, 409, 409, 409]);
});

describe('what is no mailbox is refused, saying where', () => {
  const cases: [name: string, body: unknown, paths: string[]][] = [
    ['no address', {}, ['address']],
    ['an empty address', { address: '' }, ['address']],
    ['no domain', { address: 'me' }, ['address']],
    ['two addresses', { address: 'a@example.com,b@example.com@' }, ['address']],
    ['a blank within', { address: 'me @example.com' }, ['address']],
    ['a line break', { address: 'me@example.com\r\nBcc: x' }, ['address']],
    ['U+0000', { address: 'me\0@example.com' }, ['address']],
    ['321 characters', { address: `${'a'.repeat(309)}@example.com` }, ['address']],
    ['a number', { address: 1 }, ['address']],
    ['an empty tenant', { address: 'me@example.com', tenant: '' }, ['tenant']],
    ['a tenant with a slash', { address: 'me@example.com', tenant: 'a/b' }, ['tenant']],
    ['a tenant with U+0000', { address: 'me@example.com', tenant: 'a\0' }, ['tenant']],
    ['a tenant of 65 characters', { address: 'me@example.com', tenant: 'a'.repeat(65) }, ['tenant']],
    ['a tenant that is null', { address: 'me@example.com', tenant: null }, ['tenant']],
  ];
  for (const [name, body, paths] of cases) {
    test(name, async () => {
      const problem = await expectProblem(await send('POST', '/v1/mailboxes', body), 400, 'bad_request');
      assert.deepEqual(faultPaths(problem), paths);
    });
  }

  test('a change of the tenant', async () => {
    const { body: mailbox } = await service.api('POST', '/v1/mailboxes', { address: 'stays@example.com' });
    const response = await send('PATCH', `/v1/mailboxes/${mailbox.id}`, {
      tenant: 'other',
      address: 'x@example.com',
    });
    await expectProblem(response, 400, 'bad_request');
  });
});

test('a mailbox names servers of its own whose authentication results count, from the next mail on', async () => {
  const source = await addSource(service, 'raw', 'own-server@example.com');
  const results = async (n: number) => {
    const mail = [
      'Authentication-Results: mx.own.example; spf=pass smtp.mailfrom=example.net; dkim=pass header.d=example.net',
      'Received: from mail.example.net (mail.example.net [192.0.2.1]) by mx.own.example; Fri, 20 Nov 2026 10:00:00 +0000',
      'From: ada@example.net',
      `Subject: Mail ${n}`,
      '',
      'Hello',
    ].join('\r\n');
    const answer = await service.push(source, Buffer.from(mail));
    const [{ messageId }] = ((await answer.json()) as { results: { messageId: string }[] }).results as [
      { messageId: string },
    ];
    return (await service.api('GET', `/v1/messages/${messageId}`)).body.authentication;
  };
  assert.equal((await results(1)).trusted, false);

  const { body: found } = await service.api('GET', `/v1/sources/${source.id}`);
  const path = `/v1/mailboxes/${found.mailboxId}`;
  const changed = await service.api('PATCH', path, { authenticationServers: ['mx.own.example'] });
  assert.deepEqual(changed.body.authenticationServers, ['mx.own.example']);
  assert.equal(changed.body.address, 'own-server@example.com');
  assert.deepEqual(await results(2), {
    spf: 'pass',
    dkim: [{ domain: 'example.net', result: 'pass' }],
    dmarc: null,
    arc: null,
    server: 'mx.own.example',
    trusted: true,
  });
  const bad = await service.api('PATCH', path, { authenticationServers: ['not a name'] });
  assert.equal(bad.status, 400);
});
