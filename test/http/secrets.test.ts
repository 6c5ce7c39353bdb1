import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import postgres from 'postgres';
import { startConsumer } from '../support/consumer.ts';
import {
  ADMIN_TOKEN,
  addSource,
  batch,
  gmailItem,
  mailOf,
  SECRET_KEY,
  startTestService,
  type TestService,
} from '../support/service.ts';
import { captureLog } from './captured-log.ts';

const { log, lines } = captureLog();
let service: TestService;
before(async () => {
  log.level = 'trace';
  service = await startTestService({ log });
});
after(() => service.dispose());

test('secrets are told once and are in no later answer, no event, no log line and no column', async () => {
  await using consumer = await startConsumer();
  const types = ['message.received', 'gap.opened', 'endpoint.disabled'];
  const { body: endpoint } = await service.api('POST', '/v1/endpoints', { url: consumer.url, types });
  const source = await addSource(service);
  const rotated = [
    (await service.api('POST', `/v1/endpoints/${endpoint.id}/rotate-secret`)).body,
    (await service.api('POST', `/v1/sources/${source.id}/rotate-secret`)).body,
  ];
  const { body: apiKey } = await service.api('POST', '/v1/keys', { role: 'admin' });
  // Padded, since the beginning of a secret is cut off below.
  const secrets = [...[endpoint, source, ...rotated].map(({ secret }) => secret), `      ${apiKey.key}`];
  assert.equal(new Set(secrets).size, 5);
  await fetch(`${service.address}/v1/keys`, { headers: { authorization: `Bearer ${apiKey.key}` } });

  // Something of everything: mail, gaps, stubs, deliveries, a disabled endpoint, refused requests.
  await service.push(
    source,
    batch([gmailItem('5ec', mailOf('Mail')), null], { cursor: { from: '1', to: '2' } }),
  );
  await service.push(source, batch([], { cursor: { from: '5', to: '6' } }));
  await service.push({ ...source, secret: endpoint.secret }, batch([]));
  const { body: other } = await service.api('POST', '/v1/endpoints', { url: `${consumer.url}/other` });
  await service.api('POST', `/v1/endpoints/${other.id}/disable`);
  await service.api('POST', `/v1/endpoints/${endpoint.id}/test`);
  await consumer.waitFor(4);
  await service.api('POST', `/v1/sources/${source.id}/stop`);
  await service.api('POST', `/v1/sources/${source.id}/start`);

  const answers: string[] = [];
  for (const path of await readablePaths()) {
    const headers = { authorization: `Bearer ${ADMIN_TOKEN}` };
    const response = await fetch(`${service.address}${path}`, { headers });
    assert.equal(response.status, 200, path);
    const body = path.startsWith(STREAM) ? await readStream(response) : await response.text();
    answers.push(`${path} ${JSON.stringify([...response.headers])} ${body}`);
  }
  assert.ok(answers.length > 15);
  const sent = consumer.received.map(({ headers, body }) => JSON.stringify(headers) + body);
  const logged = lines.map((line) => JSON.stringify(line));
  const rows = await readEverything();
  for (const [where, texts] of Object.entries({ answers, sent, logged, rows })) {
    assert.ok(texts.length > 0, where);
    for (const text of texts) {
      // They say what a secret looks like.
      const given = where === 'answers' && /^\/(openapi\.json|docs) /.test(text);
      assert.ok(given || !text.includes('whsec_'), `${where}: ${text.slice(0, 2000)}`);
      for (const secret of [...secrets.map((one) => one.slice(6)), ADMIN_TOKEN, SECRET_KEY]) {
        assert.ok(!text.includes(secret), `${where}: ${text.slice(0, 2000)}`);
      }
    }
  }
});

const STREAM = '/v1/events/stream?after=start';

/** All events that there are. The stream itself does not end. */
async function readStream(response: Response): Promise<string> {
  const { body: page } = await service.api('GET', '/v1/events?limit=500');
  const last = page.data.at(-1).id;
  const decoder = new TextDecoder();
  let text = '';
  // Leaving the loop ends the request.
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true });
    if (text.includes(last)) break;
  }
  return text;
}

/** Every path that can be got: the lists, each of their rows, and what is below it. */
async function readablePaths(): Promise<string[]> {
  const { paths } = (await (await fetch(`${service.address}/openapi.json`)).json()) as {
    paths: Record<string, Record<string, unknown>>;
  };
  const gets = Object.keys(paths).filter((path) => paths[path]?.get !== undefined);
  const found = ['/openapi.json'];
  for (const path of gets) {
    // Pages of a consent, which there is none of here; `connect.test.ts` looks at them.
    if (path.startsWith('/connect/')) continue;
    if (!path.includes('{')) found.push(path === '/v1/events/stream' ? STREAM : path);
    // The filled-in script is there to carry the secret.
    if (!path.includes('{id}') || path.includes('{n}') || path.endsWith('/apps-script')) continue;
    const { body } = await service.api('GET', path.slice(0, path.indexOf('/{id}')));
    for (const { id } of body.data) found.push(path.replace('{id}', id));
  }
  return found;
}

/** Every row of every table, as text; bytes both in hex and as they are. */
async function readEverything(): Promise<string[]> {
  const sql = postgres(service.databaseUrl, { max: 1 });
  const tables = await sql<{ name: string }[]>`
    SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public'`;
  const rows: string[] = [];
  for (const { name } of tables) {
    for (const row of await sql`SELECT * FROM ${sql(name)}`) {
      const bytes = Object.values(row).filter((value) => Buffer.isBuffer(value));
      rows.push(`${name} ${JSON.stringify(row)} ${bytes.map((value) => value.toString('latin1')).join(' ')}`);
    }
  }
  await sql.end();
  return rows;
}
