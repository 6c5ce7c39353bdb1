import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import postgres from 'postgres';
import { waitUntil } from '../support/embedded-place.ts';
import { startTestService, type TestService } from '../support/service.ts';

const COUNT = 100;
/** All of them are 40 MB. */
const LENGTH = 400_000;

let service: TestService;
before(async () => {
  service = await startTestService({ dispatch: false });
  const sql = postgres(service.databaseUrl, { max: 1, onnotice: () => {} });
  await sql`
    INSERT INTO events (id, type, tenant, data)
    SELECT mailgress_uuidv7(), 'gap.opened', 'default', json_build_object('n', n, 'text', repeat('x', ${LENGTH}::int))
    FROM generate_series(1, ${COUNT}::int) n ORDER BY n`;
  await sql.end();
  await waitUntil('the log can be read to its end', async () => (await read('', 1)).data.length === 1);
});
after(() => service.dispose());

type Page = { data: { cursor: string; data: { n: number } }[]; next: string };

async function read(cursor: string, limit: number): Promise<Page> {
  const { body } = await service.api('GET', `/v1/events?limit=${limit}${cursor && `&after=${cursor}`}`);
  return body;
}

test('a page of long events has fewer than were asked for, and the next goes on behind it', async () => {
  const found: number[] = [];
  let cursor = '';
  for (let page: Page | undefined; page === undefined || page.data.length > 0; ) {
    page = await read(cursor, 500);
    assert.ok(page.data.length < COUNT * 0.7);
    if (page.data.length > 0 && found.length + page.data.length < COUNT)
      assert.equal(page.next, page.data.at(-1)?.cursor);
    found.push(...page.data.map(({ data }) => data.n));
    cursor = page.next;
  }
  assert.deepEqual(
    found.toSorted((a, b) => a - b),
    Array.from({ length: COUNT }, (_, index) => index + 1),
  );
});
