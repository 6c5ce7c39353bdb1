import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ADMIN_TOKEN, startTestService, type TestService } from '../support/service.ts';
import { expectProblem, faultPaths } from './problem.ts';

let service: TestService;
let mailboxId: string;
before(async () => {
  service = await startTestService({ publicUrl: 'https://mail.example.com/base' });
  mailboxId = await newMailbox('me@example.com');
});
after(() => service.dispose());

const newMailbox = async (address: string, tenant = 'default'): Promise<string> =>
  (await service.api('POST', '/v1/mailboxes', { address, tenant })).body.id;
const newSource = async (kind = 'apps-script', at = mailboxId) =>
  (await service.api('POST', `/v1/mailboxes/${at}/sources`, { kind })).body;
const listed = async (query: string): Promise<string[]> =>
  (await service.api('GET', `/v1/sources?${query}`)).body.data.map(({ id }: { id: string }) => id);

function send(method: string, path: string, body: unknown) {
  const headers = { authorization: `Bearer ${ADMIN_TOKEN}`, 'content-type': 'application/json' };
  return fetch(`${service.address}${path}`, { method, headers, body: JSON.stringify(body) });
}

test('a source is created with its secret and where to push, and got without', async () => {
  for (const kind of ['apps-script', 'raw']) {
    const { status, body } = await service.api('POST', `/v1/mailboxes/${mailboxId}/sources`, { kind });
    assert.equal(status, 201);
    const { secret, ingestUrl, ...source } = body;
    assert.match(secret, /^whsec_[A-Za-z0-9+/]{43}=$/);
    assert.equal(ingestUrl, `https://mail.example.com/base/v1/ingest/${kind}/${source.id}`);
    const { id, createdAt, ...rest } = source;
    assert.match(id, /^src_[0-9a-f]{32}$/);
    assert.equal(new Date(createdAt).toISOString(), createdAt);
    assert.deepEqual(rest, {
      tenant: 'default',
      mailboxId,
      address: 'me@example.com',
      kind,
      wanted: true,
      state: 'idle',
      mode: 'push',
      reason: null,
      cursor: null,
      script: null,
      imap: null,
      lag: 0,
      leaseHolder: null,
      nextAttemptAt: null,
      lastProvenAliveAt: null,
      lastMessageAt: null,
      counts: { failed: 0, missing: 0, openGaps: 0 },
    });
    assert.deepEqual(await service.api('GET', `/v1/sources/${id}`), { status: 200, body: source });
  }
});

test('a source of a mailbox that is not there is 404, of a kind that is none 400', async () => {
  const missing = `/v1/mailboxes/mbx_${'0'.repeat(32)}/sources`;
  await expectProblem(await send('POST', missing, { kind: 'raw' }), 404, 'not_found');
  for (const body of [{}, { kind: 'pop3' }, { kind: 'RAW' }, { kind: null }]) {
    const problem = await expectProblem(
      await send('POST', `/v1/mailboxes/${mailboxId}/sources`, body),
      400,
      'bad_request',
    );
    assert.deepEqual(faultPaths(problem), ['kind']);
  }
});

test('start and stop set what is wanted, and may be repeated', async () => {
  const { id } = await newSource();
  for (const [verb, wanted, state] of [
    ['stop', false, 'disconnected'],
    ['stop', false, 'disconnected'],
    ['start', true, 'idle'],
    ['start', true, 'idle'],
  ] as const) {
    const { status, body } = await service.api('POST', `/v1/sources/${id}/${verb}`);
    assert.deepEqual([status, body.wanted, body.state], [200, wanted, state]);
  }
});

test('a deleted source is gone, its mailbox is not', async () => {
  const { id } = await newSource();
  assert.equal((await service.api('DELETE', `/v1/sources/${id}`)).status, 204);
  assert.equal((await service.api('DELETE', `/v1/sources/${id}`)).status, 404);
  for (const verb of ['start', 'stop', 'rotate-secret']) {
    assert.equal((await service.api('POST', `/v1/sources/${id}/${verb}`)).status, 404);
  }
  assert.equal((await service.api('GET', `/v1/mailboxes/${mailboxId}`)).status, 200);
});

test('a deleted mailbox takes its sources with it', async () => {
  const other = await newMailbox('gone@example.com');
  const { id } = await newSource('raw', other);
  await service.api('DELETE', `/v1/mailboxes/${other}`);
  assert.equal((await service.api('GET', `/v1/sources/${id}`)).status, 404);
});

test('the list is filtered by mailbox, tenant and state', async () => {
  const other = await newMailbox('filter@example.com', 'acme');
  const running = (await newSource('raw', other)).id;
  const stopped = (await newSource('apps-script', other)).id;
  await service.api('POST', `/v1/sources/${stopped}/stop`);
  const here = (await newSource()).id;

  assert.deepEqual((await listed(`mailbox=${other}`)).sort(), [running, stopped].sort());
  assert.deepEqual((await listed('tenant=acme')).sort(), [running, stopped].sort());
  assert.deepEqual(await listed('tenant=nobody'), []);
  assert.deepEqual(await listed('tenant=acme&state=disconnected'), [stopped]);
  assert.deepEqual(await listed(`mailbox=mbx_${'0'.repeat(32)}`), []);
  assert.ok((await listed('state=idle')).includes(here));
});

test('a filter that can be none is 400', async () => {
  for (const [query, path] of [
    ['state=asleep', 'state'],
    ['mailbox=nobody', 'mailbox'],
    ['mailbox=%00', 'mailbox'],
    [`mailbox=src_${'0'.repeat(32)}`, 'mailbox'],
    ['tenant=%00', 'tenant'],
    ['state=idle&state=disconnected', 'state'],
  ]) {
    const response = await send('GET', `/v1/sources?${query}`, undefined);
    assert.deepEqual(faultPaths(await expectProblem(response, 400, 'bad_request')), [path]);
  }
});
