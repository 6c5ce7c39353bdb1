import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import postgres from 'postgres';
import { type Consumer, startConsumer } from '../support/consumer.ts';
import { createTestDatabase } from '../support/database.ts';
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
import { startTcpProxy } from '../support/tcp-proxy.ts';
import { expectProblem } from './problem.ts';

const METRICS_TOKEN = 'a-token-for-metrics-alone';

let service: TestService;
let consumer: Consumer;
before(async () => {
  consumer = await startConsumer((response, { body }) =>
    response.writeHead(body.includes('Refuse me') ? 500 : 204).end(),
  );
  service = await startTestService({ metricsToken: METRICS_TOKEN });
});
after(async () => {
  await service.dispose();
  await consumer.close();
});

function get(token?: string, path = '/metrics', at = service.address): Promise<Response> {
  return fetch(`${at}${path}`, token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } });
}

/** Every sample by its name and labels. */
async function read(at = service.address): Promise<Map<string, number>> {
  const response = await get(METRICS_TOKEN, '/metrics', at);
  assert.equal(response.status, 200);
  const lines = (await response.text()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line) => [
      line.slice(0, line.lastIndexOf(' ')),
      Number(line.slice(line.lastIndexOf(' ') + 1)),
    ]),
  );
}

test('is text of the exposition format: each metric with help and type, each sample a number', async () => {
  const response = await get(METRICS_TOKEN);
  assert.equal(response.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8');
  const text = await response.text();
  assert.ok(text.endsWith('\n') && !text.includes('\n\n'));
  const types = new Map<string, string>();
  for (const line of text.trim().split('\n')) {
    const [, named, type] = /^# TYPE ([a-z_0-9]+) (counter|gauge|histogram)$/.exec(line) ?? [];
    if (named !== undefined) types.set(named, type ?? '');
    if (line.startsWith('#')) {
      assert.match(line, /^# (HELP [a-z0-9_]+ \S.*\.|TYPE [a-z0-9_]+ (counter|gauge|histogram))$/);
      continue;
    }
    assert.match(
      line,
      /^[a-z][a-z0-9_]*(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? -?\d+(\.\d+)?(e[+-]?\d+)?$/,
    );
    const name = /^[a-z0-9_]+/.exec(line)?.[0] ?? '';
    const base = types.has(name) ? name : name.replace(/_(bucket|sum|count)$/, '');
    assert.ok(types.has(base), name);
  }
  for (const [name, type] of types) {
    assert.equal(name.endsWith('_total'), type === 'counter', name);
    assert.match(name, /^(mailgress|process|nodejs)_/);
  }
});

test('takes an API key or its own token, which opens nothing else', async () => {
  assert.equal((await get(ADMIN_TOKEN)).status, 200);
  await expectProblem(await get(), 401, 'unauthorized');
  await expectProblem(await get('another-token-of-good-length'), 401, 'unauthorized');
  await expectProblem(await get(METRICS_TOKEN, '/v1/events'), 401, 'unauthorized');
});

test('counts mails by kind and result, deliveries by how they ended, and how long it took', async () => {
  const source = await addSource(service);
  await service.api('POST', '/v1/endpoints', { url: consumer.url });
  const mails = [gmailItem('a1', mailOf('Take me')), gmailItem('a2', mailOf('Refuse me'))];
  await service.push(source, batch(mails));
  await service.push(source, batch(mails.slice(1)));
  await waitUntil('both were tried', async () => {
    const { body } = await service.api('GET', '/v1/deliveries');
    return body.data.filter((one: { attemptCount: number }) => one.attemptCount > 0).length === 2;
  });
  const all = await read();
  const ofKind = 'source_kind="apps-script"';
  assert.equal(all.get(`mailgress_ingested_mails_total{${ofKind},result="accepted"}`), 2);
  assert.equal(all.get(`mailgress_ingested_mails_total{${ofKind},result="duplicate"}`), 1);
  assert.equal(all.get(`mailgress_ingest_duration_seconds_count{${ofKind}}`), 3);
  assert.equal(all.get(`mailgress_ingest_duration_seconds_bucket{${ofKind},le="+Inf"}`), 3);
  assert.ok((all.get(`mailgress_ingest_duration_seconds_sum{${ofKind}}`) ?? 0) > 0);
  assert.equal(all.get('mailgress_delivery_attempts_total{result="succeeded"}'), 1);
  assert.equal(all.get('mailgress_delivery_attempts_total{result="refused"}'), 1);
  assert.equal(all.get('mailgress_delivery_latency_seconds_count'), 1);
  assert.equal(all.get('mailgress_deliveries_pending'), 1);
  assert.ok((all.get('mailgress_oldest_pending_delivery_age_seconds') ?? 0) > 0);
  assert.equal(all.get('mailgress_delivery_overdue_seconds'), 0);
  assert.equal(all.get('mailgress_sources{kind="apps-script",state="idle"}'), 1);
  assert.equal(all.get('mailgress_build_info{version="0.0.0-test"}'), 1);
  assert.ok((all.get('mailgress_database_connections{pool="hot"}') ?? 0) > 0);
  assert.ok(all.has('mailgress_table_dead_tuples{table="deliveries"}'));
  assert.ok((all.get('process_resident_memory_bytes') ?? 0) > 1e7);
  assert.ok(all.has('nodejs_eventloop_lag_p99_seconds'));
});

test('buckets hold what is below them, and never fall', async () => {
  const buckets = [...(await read())].filter(([name]) =>
    name.startsWith('mailgress_ingest_duration_seconds_bucket'),
  );
  assert.ok(buckets.length > 5);
  const counts = buckets.map(([, count]) => count);
  assert.deepEqual(
    counts,
    counts.toSorted((a, b) => a - b),
  );
});

test('shows the age of a transaction that holds the feed back', async () => {
  assert.ok(((await read()).get('mailgress_feed_lag_seconds') ?? 99) < 0.5);
  const sql = postgres(service.databaseUrl, { max: 1 });
  await sql.begin(async (tx) => {
    await tx`SELECT pg_current_xact_id(), pg_sleep(1)`;
    assert.ok(((await read()).get('mailgress_feed_lag_seconds') ?? 0) >= 1);
  });
  await sql.end();
});

test('of a database that is away it says so, and of the process everything', async () => {
  const database = await createTestDatabase();
  const proxy = await startTcpProxy(database.url);
  const other = await startTestService({
    databaseUrl: proxy.url,
    metricsToken: METRICS_TOKEN,
    dispatch: false,
  });
  try {
    assert.equal((await read(other.address)).get('mailgress_database_up'), 1);
    await proxy.vanish();
    const startedMs = performance.now();
    const all = await read(other.address);
    assert.ok(performance.now() - startedMs < 9000, 'before Prometheus gives up');
    assert.equal(all.get('mailgress_database_up'), 0);
    assert.ok(all.has('process_cpu_seconds_total'));
    assert.ok(!all.has('mailgress_deliveries_pending'));
  } finally {
    await proxy.pass();
    proxy.cut();
    await other.stop();
    await proxy[Symbol.asyncDispose]();
    await database.drop();
  }
});
