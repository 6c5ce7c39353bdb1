import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { waitUntil } from '../support/embedded-place.ts';
import {
  addSource,
  batch,
  gmailItem,
  mailOf,
  type PushSource,
  startTestService,
  type TestService,
} from '../support/service.ts';
import { expectProblem } from './problem.ts';

let service: TestService;
let neighbour: TestService;
before(async () => {
  service = await startTestService();
  neighbour = await startTestService({ databaseUrl: service.databaseUrl, dispatch: false });
});
after(async () => {
  await neighbour.dispose();
  await service.dispose();
});

let ids = 0;
const freshBatch = () => batch([gmailItem(`5${(++ids).toString(16)}`, mailOf(`Mail ${ids}`))]);
const statusOf = async (source: PushSource) => (await service.push(source, freshBatch())).status;
const atNeighbour = (source: PushSource) => ({
  ...source,
  ingestUrl: source.ingestUrl.replace(service.address, neighbour.address),
});

async function control(verb: 'start' | 'stop', source: PushSource) {
  const { status, body } = await service.api('POST', `/v1/sources/${source.id}/${verb}`);
  assert.equal(status, 200);
  return body;
}

for (const kind of ['apps-script', 'raw'] as const) {
  test(`a stopped ${kind} source refuses mail with 409, and takes it again once started`, async () => {
    const source = await addSource(service, kind);
    const mail = kind === 'raw' ? mailOf('Kept by the sender') : freshBatch();
    assert.equal((await control('stop', source)).state, 'disconnected');
    await expectProblem(await service.push(source, mail), 409, 'source_stopped');
    assert.equal((await control('start', source)).state, 'idle');
    const response = await service.push(source, mail);
    const { results } = (await response.json()) as { results: { status: string }[] };
    assert.deepEqual([response.status, results[0]?.status], [200, 'accepted']);
  });
}

test('a stopped source still tells nothing to who cannot sign', async () => {
  const [source, other] = [await addSource(service), await addSource(service)];
  await control('stop', source);
  const response = await service.push({ ...source, secret: other.secret }, freshBatch());
  await expectProblem(response, 401, 'unauthorized');
});

test('a stopped source refuses a ping as well', async () => {
  const source = await addSource(service);
  await control('stop', source);
  await expectProblem(await service.push(source, '{"kind":"ping"}'), 409, 'source_stopped');
});

test('another process follows a stop and a start', async () => {
  const source = await addSource(service);
  const there = atNeighbour(source);
  assert.equal(await statusOf(there), 200);
  await control('stop', source);
  await waitUntil('the neighbour refuses', async () => (await statusOf(there)) === 409);
  await control('start', source);
  await waitUntil('the neighbour takes mail', async () => (await statusOf(there)) === 200);
});

describe('what is deleted is unknown', () => {
  const bodies: Record<string, () => string> = {
    'a mail': freshBatch,
    'a batch of no mails': () => batch([]),
    'a report': () => batch([], { missing: ['a'], cursor: { from: '1', to: '2' } }),
    'a rotten mail': () => batch([null]),
    'a ping': () => '{"kind":"ping"}',
  };
  for (const what of ['source', 'mailbox'] as const) {
    for (const [name, body] of Object.entries(bodies)) {
      test(`a deleted ${what}: ${name}`, async () => {
        const source = await addSource(service);
        assert.equal(await statusOf(source), 200);
        const path = what === 'source' ? `/v1/sources/${source.id}` : `/v1/mailboxes/${source.mailboxId}`;
        assert.equal((await service.api('DELETE', path)).status, 204);
        await expectProblem(await service.push(source, body()), 401, 'unauthorized');
      });
    }

    test(`a deleted ${what}, for another process`, async () => {
      const source = await addSource(service);
      const there = atNeighbour(source);
      assert.equal(await statusOf(there), 200);
      const path = what === 'source' ? `/v1/sources/${source.id}` : `/v1/mailboxes/${source.mailboxId}`;
      await service.api('DELETE', path);
      // What it remembers lasts a second; mail for a mailbox that is gone is refused from the first moment.
      if (what === 'mailbox') assert.equal(await statusOf(there), 401);
      await waitUntil('the neighbour knows', async () => (await statusOf(there)) === 401);
    });
  }
});

test('the mail of a deleted mailbox is gone with it, that of a deleted source stays', async () => {
  const [first, second] = [await addSource(service), await addSource(service)];
  await service.push(first, freshBatch());
  await service.push(second, freshBatch());
  await service.api('DELETE', `/v1/sources/${first.id}`);
  await service.api('DELETE', `/v1/mailboxes/${second.mailboxId}`);
  const listed = async (mailboxId: string) =>
    (await service.api('GET', `/v1/messages?mailbox=${mailboxId}`)).body.data.length;
  assert.deepEqual([await listed(first.mailboxId), await listed(second.mailboxId)], [1, 0]);
});
