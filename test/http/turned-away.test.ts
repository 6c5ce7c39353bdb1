import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Hono } from 'hono';
import { limitConcurrency } from '../../src/http/overloaded.ts';
import { toMailgressError } from '../../src/http/problem.ts';
import {
  ADMIN_TOKEN,
  addSource,
  batch,
  gmailItem,
  mailOf,
  startTestService,
  type TestService,
} from '../support/service.ts';
import { expectProblem } from './problem.ts';

/* A source that pushes more than it may: it is told when to come again, and the others do not notice. */

let service: TestService;
before(async () => {
  service = await startTestService({ mailsPerSecond: 1 });
});
after(() => service.dispose());

let ids = 0;
const batchOf = (count: number) =>
  batch(Array.from({ length: count }, () => gmailItem(`bb${(++ids).toString(16)}`, mailOf(`Mail ${ids}`))));

test('a source over its rate is 429 with the time it has to wait, signed or not, and another one is not', async () => {
  const [noisy, quiet] = [await addSource(service), await addSource(service, 'raw')];
  // Ten at once, and a batch is taken whole.
  assert.equal((await service.push(noisy, batchOf(9))).status, 200);
  assert.equal((await service.push(noisy, batchOf(61))).status, 200);
  const before = ids;
  const response = await service.push(noisy, batchOf(1));
  const seconds = Number(response.headers.get('retry-after'));
  assert.ok(seconds > 30 && seconds <= 61, `${seconds}`);
  await expectProblem(response, 429, 'rate_limited');
  assert.equal((await fetch(noisy.ingestUrl, { method: 'POST', body: 'x'.repeat(200_000) })).status, 429);
  assert.equal((await service.push(quiet, mailOf('Quiet'))).status, 200);
  const { body } = await service.api('GET', `/v1/messages?mailbox=${noisy.mailboxId}&limit=500`);
  assert.equal(body.data.length, before, 'nothing of the refused one is there');
  const metrics = await fetch(`${service.address}/metrics`, {
    headers: { authorization: `Bearer ${ADMIN_TOKEN}` },
  });
  assert.match(await metrics.text(), /^mailgress_pushes_turned_away_total\{reason="rate_limited"\} 2$/m);
});

test('what strangers send for a source costs it nothing, and its duplicates and reports count', async () => {
  const source = await addSource(service);
  for (let times = 0; times < 20; times++) {
    const answer = await service.push(
      { ...source, secret: 'whsec_c3RyYW5nZXJzc2VjcmV0b2YzMmJ5dGVz' },
      batchOf(5),
    );
    assert.equal(answer.status, 401);
  }
  const body = batchOf(11);
  assert.equal((await service.push(source, body)).status, 200);
  assert.equal((await service.push(source, body)).status, 429);

  const chatty = await addSource(service);
  let reports = 0;
  while ((await service.push(chatty, batch([]))).status === 200) {
    assert.ok(++reports < 100, 'reports without mail count, too');
  }
});

test('of requests that wait for the database only so many wait', async () => {
  const waiting: (() => void)[] = [];
  const app = new Hono();
  app.onError((error, c) => c.text(toMailgressError(error).code, 503));
  app.use(limitConcurrency(2));
  app.get('/', async (c) => {
    await new Promise<void>((resolve) => waiting.push(resolve));
    return c.text('done');
  });
  const [one, two, three] = [app.request('/'), app.request('/'), app.request('/')];
  assert.equal(await (await three).text(), 'overloaded');
  for (const resolve of waiting.splice(0)) resolve();
  assert.deepEqual([await (await one).text(), await (await two).text()], ['done', 'done']);
  const next = app.request('/');
  for (const resolve of waiting.splice(0)) resolve();
  assert.equal(await (await next).text(), 'done');
});
