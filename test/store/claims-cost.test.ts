import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, beforeEach, test } from 'node:test';
import postgres, { type Sql } from 'postgres';
import { claimDueDeliveries } from '../../src/store/claims.ts';
import { createTestDatabase } from '../support/database.ts';
import { addDue, addEndpoint } from '../support/deliveries.ts';

let testDatabase: Awaited<ReturnType<typeof createTestDatabase>>;
let sql: Sql;
before(async () => {
  testDatabase = await createTestDatabase();
  sql = postgres(testDatabase.url, { max: 1, onnotice: () => {} });
});
beforeEach(() => sql`TRUNCATE deliveries, attempts, events, endpoints CASCADE`);
after(async () => {
  await sql.end();
  await testDatabase.drop();
});

for (const state of ['analyzed', 'never analyzed'])
  test(`a claim touches about as many pages with 50,000 deliveries pending as with 1,000 (${state})`, async (t) => {
    const endpoints = await Promise.all(Array.from({ length: 5 }, () => addEndpoint(sql)));
    const fill = async (each: number) => {
      for (const endpoint of endpoints) await addDue(sql, endpoint, each);
      if (state === 'analyzed') await sql`ANALYZE deliveries, events`;
      return { one: await pagesOfClaim(1), many: await pagesOfClaim(64) };
    };
    const few = await fill(200);
    const full = await fill(9800);
    const figures = `pages for one: ${few.one}, then ${full.one}; for 64: ${few.many}, then ${full.many}`;
    t.diagnostic(figures);
    assert.ok(full.one <= 2 * few.one && full.many <= 2 * few.many, figures);
  });

/** How many pages one claim touches, by EXPLAIN of the very statement, which is rolled back. */
async function pagesOfClaim(limit: number): Promise<number> {
  let pages = 0;
  const explain = async (strings: TemplateStringsArray, ...values: string[]) => {
    const text = strings.reduce((head, part, index) => `${head}$${index}${part}`);
    await sql`BEGIN`;
    const [row] = await sql.unsafe(`EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${text}`, values);
    await sql`ROLLBACK`;
    const plan = row?.['QUERY PLAN'][0].Plan;
    pages = plan['Shared Hit Blocks'] + plan['Shared Read Blocks'];
    return [];
  };
  // Of the driver nothing but its tag is called.
  await claimDueDeliveries(explain as unknown as Sql, { owner: randomUUID(), limit, leaseMs: 90_000 });
  return pages;
}
