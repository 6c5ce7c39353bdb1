import assert from 'node:assert/strict';
import postgres from 'postgres';
import { createId, type IdPrefix, uuidOf } from '../../src/core/ids.ts';
import { waitUntil } from '../support/embedded-place.ts';
import { batch, gmailItem, type TestService } from '../support/service.ts';

/** An id of each kind that a request can name. */
export type Ids = Record<Exclude<IdPrefix, 'prb' | 'run' | 'att'>, string>;

export type Owner = { ids: Ids; keys: Record<'admin' | 'operator' | 'reader', string> };

const MAIL = `From: Ada <ada@example.com>\r\nSubject: Of acme alone\r\nMIME-Version: 1.0\r
Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nText\r\n--x\r\nContent-Type: text/plain; name=a.txt\r
Content-Disposition: attachment\r\n\r\nAttached\r\n--x--\r\n`;

/** Something of everything, of one tenant. */
export async function furnishTenant(service: TestService, tenant: string): Promise<Owner> {
  const { api } = service;
  const address = `me@${tenant}.example.com`;
  const { body: mailbox } = await api('POST', '/v1/mailboxes', { tenant, address });
  const { body: source } = await api('POST', `/v1/mailboxes/${mailbox.id}/sources`, { kind: 'apps-script' });
  const { body: endpoint } = await api('POST', '/v1/endpoints', { url: 'http://127.0.0.1:9/', tenant });
  const pushed = await service.push(
    source,
    batch([gmailItem('abc1', MAIL)], {
      missing: ['dead'],
      cursor: { from: '1', to: '5' },
      gap: { from: '1', reason: 'history_expired', recoveredBy: null },
    }),
  );
  assert.equal(pushed.status, 200);
  await waitUntil('its sign of life is kept', async () => {
    const { body } = await api('GET', `/v1/sources/${source.id}`);
    return body.lastProvenAliveAt !== null;
  });
  const keys: Partial<Owner['keys']> = {};
  let key = '';
  for (const role of ['admin', 'operator', 'reader'] as const) {
    const { body } = await api('POST', '/v1/keys', { role, tenant });
    keys[role] = body.key;
    key = body.id;
  }
  const [{ body: stubs }, { body: gaps }, { body: messages }, { body: deliveries }] = await Promise.all([
    api('GET', `/v1/sources/${source.id}/stubs`),
    api('GET', `/v1/gaps?source=${source.id}`),
    api('GET', `/v1/messages?mailbox=${mailbox.id}`),
    api('GET', `/v1/deliveries?endpoint=${endpoint.id}`),
  ]);
  const rpl = await addReplay(service, endpoint.id);
  const [delivery] = deliveries.data;
  return {
    ids: {
      mbx: mailbox.id,
      src: source.id,
      ep: endpoint.id,
      msg: messages.data[0].id,
      dlv: delivery.id,
      evt: delivery.eventId,
      gap: gaps.data[0].id,
      stb: stubs.data[0].id,
      rpl,
      key,
    },
    // Filled by the loop above.
    keys: keys as Owner['keys'],
  };
}

/** What belongs to all tenants: an endpoint, what is on its way to it, and a key. */
export async function furnishOperator(service: TestService): Promise<Partial<Ids>> {
  const { api } = service;
  const { body: endpoint } = await api('POST', '/v1/endpoints', {
    url: 'http://127.0.0.1:9/of-all',
    tenant: null,
  });
  const { body: test } = await api('POST', `/v1/endpoints/${endpoint.id}/test`);
  const { body: key } = await api('POST', '/v1/keys', { role: 'reader' });
  const rpl = await addReplay(service, endpoint.id);
  return { ep: endpoint.id, dlv: test.deliveryId, evt: test.eventId, key: key.id, rpl };
}

async function addReplay({ databaseUrl }: TestService, endpointId: `ep_${string}`): Promise<string> {
  const sql = postgres(databaseUrl, { max: 1 });
  const id = createId('rpl');
  await sql`
    INSERT INTO replays (id, endpoint_id, since, until, total, status)
    VALUES (${uuidOf(id)}, ${uuidOf(endpointId)}, now() - interval '1 day', now(), 0, 'completed')`;
  await sql.end();
  return id;
}

/** Every row of every table but when keys were used, as text. */
export async function readRows(databaseUrl: string): Promise<string[]> {
  const sql = postgres(databaseUrl, { max: 1 });
  const tables = await sql<{ name: string }[]>`
    SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1`;
  const rows: string[] = [];
  for (const { name } of tables) {
    const found = await sql<{ row: string }[]>`
      SELECT (to_jsonb(t) - 'last_used_at')::text AS row FROM ${sql(name)} t`;
    rows.push(...found.map(({ row }) => `${name} ${row}`));
  }
  await sql.end();
  return rows.sort();
}

/** A request with this key; answers the status and the text. */
export async function callWith(
  service: { address: string },
  key: string,
  method: string,
  path: string,
  body?: unknown,
): Promise<{ status: number; text: string }> {
  const response = await fetch(`${service.address}${path}`, {
    method,
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  return { status: response.status, text: await response.text() };
}
