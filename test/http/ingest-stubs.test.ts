import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
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

let service: TestService;
before(async () => {
  service = await startTestService();
});
after(() => service.dispose());

async function post(source: PushSource, body: string): Promise<string[]> {
  const response = await service.push(source, body);
  assert.equal(response.status, 200, await response.clone().text());
  const { results } = (await response.json()) as { results: { status: string }[] };
  return results.map(({ status }) => status);
}

const stubsOf = async (source: PushSource) =>
  (await service.api('GET', `/v1/sources/${source.id}/stubs`)).body.data as {
    providerId: string;
    error: string;
  }[];

test('a mail that could not be read is listed with its reason, until it is stored after all', async () => {
  const source = await addSource(service);
  assert.deepEqual(await post(source, batch([{ ...gmailItem('0ABC1', ''), raw: '!!!' }])), ['rejected']);
  const [stub] = await stubsOf(source);
  assert.equal(stub?.providerId, 'abc1');
  assert.match(stub?.error ?? '', /base64url/);

  // The service knows of the stub within a second.
  await waitUntil('the stub has gone', async () => {
    await post(source, batch([gmailItem('abc1', mailOf('Readable now'))]));
    return (await stubsOf(source)).length === 0;
  });
  assert.equal((await service.api('GET', `/v1/sources/${source.id}`)).body.counts.failed, 0);
});

test('a mail reported as failed and sent in one batch is stored, and leaves no stub', async () => {
  const source = await addSource(service);
  const failed = [{ id: 'abc2', error: 'timed out', attempts: 3 }];
  assert.deepEqual(await post(source, batch([gmailItem('abc2', mailOf('Both'))], { failed })), ['accepted']);
  assert.deepEqual(await stubsOf(source), []);
});

test('the stubs of a source that is not there are 404', async () => {
  assert.equal((await service.api('GET', `/v1/sources/src_${'0'.repeat(32)}/stubs`)).status, 404);
});

test('a gap told of as open closes when it is told of again as recovered, with one event each', async () => {
  const source = await addSource(service);
  const { body: start } = await service.api('GET', '/v1/events?after=now');
  const gap = { from: '5', reason: 'history_expired' };
  const cursor = { from: '9', to: '9' };
  await post(source, batch([], { cursor, gap: { ...gap, recoveredBy: null } }));
  assert.equal((await service.api('GET', `/v1/sources/${source.id}`)).body.counts.openGaps, 1);
  for (const _ of [1, 2]) await post(source, batch([], { cursor, gap: { ...gap, recoveredBy: 'search' } }));
  assert.equal((await service.api('GET', `/v1/sources/${source.id}`)).body.counts.openGaps, 0);

  // The feed stays behind the oldest transaction of the whole server, where other tests run too: what an earlier test
  // stored may come behind `now` as well.
  type Told = { type: string; data: { gap?: Record<string, string> } };
  const readFeed = async () => {
    const { data } = (await service.api('GET', `/v1/events?after=${start.next}`)).body;
    return (data as Told[]).filter(({ data }) => data.gap?.sourceId === source.id);
  };
  await waitUntil('the feed has both', async () => (await readFeed()).length >= 2);
  const feed = await readFeed();
  assert.deepEqual(
    feed.map(({ type }) => type),
    ['gap.opened', 'gap.recovered'],
  );
  const [opened = {}, recovered = {}] = feed.map(({ data }) => data.gap);
  assert.deepEqual({ ...opened, ...recovered }, recovered);
  assert.match(recovered.id ?? '', /^gap_[0-9a-f]{32}$/);
  assert.equal(recovered.sourceId, source.id);
  assert.match(recovered.recoveredAt ?? '', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
});

test('a reason as long as it may be, of wide characters, is kept', async () => {
  const source = await addSource(service);
  const reason = Array.from({ length: 1000 }, (_, at) =>
    String.fromCodePoint(0x4e00 + ((at * 7919) % 20_000)),
  ).join('');
  const gap = { from: '5', reason, recoveredBy: reason };
  await post(source, batch([], { cursor: { from: '9', to: '9' }, gap }));
  assert.equal((await service.api('GET', `/v1/sources/${source.id}`)).body.cursor, '9');
});

test('two plain forms that differ by milliseconds alone are two mails', async () => {
  const source = await addSource(service);
  const form = { subject: 'Alarm', sender: 'a@example.com', body: 'again' };
  for (const date of ['2026-11-20T10:00:00.100Z', '2026-11-20T10:00:00.900Z'])
    assert.deepEqual(await post(source, JSON.stringify({ ...form, date })), ['accepted']);
  const again = { ...form, date: '2026-11-20T10:00:00.100Z' };
  assert.deepEqual(await post(source, JSON.stringify(again)), ['duplicate']);
});

test('a stored mail that is gone when it is fetched again is not missing', async () => {
  const source = await addSource(service);
  await post(source, batch([gmailItem('0a1b2c', mailOf('Stored'))]));
  await post(source, batch([], { missing: ['a1b2c', 'b2c3d'] }));
  const { body } = await service.api('GET', `/v1/sources/${source.id}/stubs`);
  assert.deepEqual(
    body.data.map(({ providerId }: { providerId: string }) => providerId),
    ['b2c3d'],
  );
});
