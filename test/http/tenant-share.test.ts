import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import postgres from 'postgres';
import { waitUntil } from '../support/embedded-place.ts';
import { startTestService, type TestService } from '../support/service.ts';

let service: TestService;
before(async () => {
  service = await startTestService({ dispatch: false });
});
after(() => service.dispose());

async function keyOf(tenant: string): Promise<string> {
  return (await service.api('POST', '/v1/keys', { role: 'reader', tenant })).body.key;
}

const get = (path: string, key: string) =>
  fetch(`${service.address}${path}`, { headers: { authorization: `Bearer ${key}` } });

test('a tenant whose requests all wait leaves room for the requests of others', async () => {
  const [noisy, other] = [await keyOf('noisy'), await keyOf('other')];
  const sql = postgres(service.databaseUrl, { max: 1 });
  const statuses: number[] = [];
  let searches: Promise<void>[] = [];
  await sql.begin(async (tx) => {
    // Searches stand in line for it, and for those that wait.
    await tx`LOCK TABLE message_search IN ACCESS EXCLUSIVE MODE`;
    searches = Array.from({ length: 300 }, async () => {
      const { status } = await get('/v1/messages?q=word', noisy);
      statuses.push(status);
    });
    // Fewer than are refused of 300 if a tenant has all 256 places.
    await waitUntil('what is too much is refused', () => statuses.length >= 40);
    assert.equal((await get('/v1/messages', other)).status, 200);
    assert.equal((await service.api('GET', '/v1/messages')).status, 200);
  });
  await Promise.all(searches);
  await sql.end();
  assert.equal((await get('/v1/messages', noisy)).status, 200);
});
