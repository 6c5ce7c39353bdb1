import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { waitUntil } from '../support/embedded-place.ts';
import {
  ADMIN_TOKEN,
  addSource,
  batch,
  gmailItem,
  mailOf,
  startTestService,
  type TestService,
} from '../support/service.ts';
import { expectProblem, faultPaths } from './problem.ts';

/** Every list, holding seven of each. Nothing is sent: there is nobody at the endpoints. */
const LISTS = ['mailboxes', 'sources', 'endpoints', 'messages', 'deliveries'];

let service: TestService;
before(async () => {
  service = await startTestService({ dispatch: false });
  const count = 7;
  const sources = [];
  for (let n = 0; n < count; n++) {
    sources.push(await addSource(service, 'apps-script', `me-${n}@example.com`));
    await service.api('POST', '/v1/endpoints', { url: 'http://127.0.0.1:9/', types: ['gap.opened'] });
  }
  const { body: endpoint } = await service.api('GET', '/v1/endpoints?limit=1');
  for (let n = 0; n < count; n++) await service.api('POST', `/v1/endpoints/${endpoint.data[0].id}/test`);
  // At once, so that some have the same millisecond.
  const [source] = sources;
  assert.ok(source);
  const items = Array.from({ length: count }, (_, n) => gmailItem(`9a9e${n}`, mailOf(`Mail ${n}`)));
  await service.push(source, batch(items));
  // It is written a moment later, and a page would differ from the one before it.
  await waitUntil('its sign of life is kept', async () => {
    const { body } = await service.api('GET', `/v1/sources/${source.id}`);
    return body.lastProvenAliveAt !== null;
  });
});
after(() => service.dispose());

const get = (path: string) =>
  fetch(`${service.address}${path}`, { headers: { authorization: `Bearer ${ADMIN_TOKEN}` } });

type Page = { data: { id: string }[]; next: string | null };
const pageOf = async (path: string) => (await (await get(path)).json()) as Page;

for (const list of LISTS) {
  describe(list, () => {
    test('are paged through without skip or repeat, newest first', async () => {
      const { data: all, next } = await pageOf(`/v1/${list}`);
      assert.deepEqual([all.length, next], [7, null]);
      for (const limit of [1, 3, 6]) {
        const paged: { id: string }[] = [];
        let after = '';
        for (;;) {
          const page: Page = await pageOf(`/v1/${list}?limit=${limit}${after}`);
          paged.push(...page.data);
          assert.ok(page.data.length <= limit && page.data.length > 0);
          if (page.next === null) break;
          after = `&after=${encodeURIComponent(page.next)}`;
        }
        assert.deepEqual(paged, all);
      }
      const ids = all.map(({ id }) => id);
      assert.deepEqual(ids, ids.toSorted().reverse());
    });

    test('have no next page where the last is full', async () => {
      assert.equal((await pageOf(`/v1/${list}?limit=7`)).next, null);
    });

    test('refuse a cursor of another list, and what is none', async () => {
      const other = LISTS[(LISTS.indexOf(list) + 1) % LISTS.length];
      const { next } = await pageOf(`/v1/${other}?limit=1`);
      for (const after of [next, '', 'x', '%00', 'bnVsbA', `${next}%20`, 'a'.repeat(201), '..%2F']) {
        const response = await get(`/v1/${list}?after=${after}`);
        assert.deepEqual(
          faultPaths(await expectProblem(response, 400, 'bad_request')),
          ['after'],
          `${after}`,
        );
      }
    });

    test('refuse a limit beyond 1 to 500', async () => {
      for (const limit of ['0', '501', 'abc', '', '-1', '1.5', '10%00', 'Infinity', '1&limit=2']) {
        const response = await get(`/v1/${list}?limit=${limit}`);
        assert.deepEqual(faultPaths(await expectProblem(response, 400, 'bad_request')), ['limit'], limit);
      }
      for (const limit of ['1', '500']) assert.equal((await get(`/v1/${list}?limit=${limit}`)).status, 200);
    });
  });
}

test('a cursor stays good when the row it names is gone, and rows before it come', async () => {
  const first = await pageOf('/v1/mailboxes?limit=3');
  const { data: all } = await pageOf('/v1/mailboxes');
  await service.api('DELETE', `/v1/mailboxes/${first.data.at(-1)?.id}`);
  await service.api('POST', '/v1/mailboxes', { address: 'late@example.com' });
  const second = await pageOf(`/v1/mailboxes?limit=500&after=${first.next}`);
  assert.deepEqual(second.data, all.slice(3));
});
