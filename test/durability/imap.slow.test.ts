import assert from 'node:assert/strict';
import { test } from 'node:test';
import postgres from 'postgres';
import { serverOf } from '../imap/stage.ts';
import { workerEnvironment } from '../imap/workers.ts';
import { waitUntil } from '../support/embedded-place.ts';
import { startDovecot } from '../support/imap/dovecot.ts';
import { startFaultProxy } from '../support/imap/fault-proxy.ts';
import { skipWithoutDovecot } from '../support/imap/install.ts';
import { createRandom } from '../support/random.ts';
import { startTestService } from '../support/service.ts';
import { startFlakyConsumer } from './flaky-consumer.ts';
import {
  checkMailboxes,
  checkStepsBack,
  hurryTime,
  noteStepsBack,
  waitForCursors,
  waitForEnd,
} from './imap-check.ts';
import { FAULTS, PERILS, type Peril, Workers } from './imap-perils.ts';
import { createPost } from './imap-post.ts';

/*
 * Mail arrives in two folders of many mailboxes while connections suffer faults of every kind, folders get new UIDVALIDITYs,
 * mails are moved, the server restarts or loses what it knew, leases are taken from who still works, and workers are
 * killed. The long form (MAILGRESS_TEST_IMAP=full) is the proof; the short one shows that the test works.
 */
const isFull = process.env.MAILGRESS_TEST_IMAP === 'full';
const SEED = Number(process.env.MAILGRESS_TEST_SEED ?? 1);
const plan: { mails: number; mailboxes: number; perSecond: number; faultsPerSecond: number } & Record<
  'times',
  Record<Peril, number>
> = isFull
  ? {
      ...{ mails: 10_000, mailboxes: 50, perSecond: 20, faultsPerSecond: 3 },
      times: {
        ...{ kill: 16, 'kill all': 2, steal: 40, flip: 30, move: 120, restart: 6, 'lost index': 4 },
        ...{ refuse: 6, 'silent greetings': 6 },
      },
    }
  : {
      ...{ mails: 500, mailboxes: 8, perSecond: 20, faultsPerSecond: 1.5 },
      times: {
        ...{ kill: 1, 'kill all': 1, steal: 3, flip: 3, move: 8, restart: 1, 'lost index': 1 },
        ...{ refuse: 1, 'silent greetings': 1 },
      },
    };

test(`${plan.mails} mails for ${plan.mailboxes} mailboxes, with faults of every kind: each is stored and told once`, {
  skip: await skipWithoutDovecot(),
}, async (t) => {
  const startedMs = performance.now();
  t.diagnostic(`seed ${SEED}`);
  const users = Array.from({ length: plan.mailboxes }, (_, index) => `box-${index}@example.com`);
  await using stack = new AsyncDisposableStack();
  const consumer = stack.use(await startFlakyConsumer());
  const dovecot = stack.use(await startDovecot());
  const proxy = stack.use(await startFaultProxy(dovecot));
  const service = await startTestService();
  stack.defer(() => service.dispose());
  const sql = postgres(service.databaseUrl, { max: 4, onnotice: () => {} });
  stack.defer(() => sql.end({ timeout: 5 }));
  await noteStepsBack(sql);
  await service.api('POST', '/v1/endpoints', {
    url: consumer.url,
    types: ['message.received'],
    maxInFlight: 32,
  });
  for (const address of users) {
    const { body: mailbox } = await service.api('POST', '/v1/mailboxes', { address });
    const server = serverOf({ ...proxy, password: dovecot.password }, address);
    const path = `/v1/mailboxes/${mailbox.id}/sources`;
    const { status, body } = await service.api('POST', path, { kind: 'imap', ...server });
    assert.equal(status, 201, JSON.stringify(body));
  }
  const workers = new Workers(sql, { ...workerEnvironment(service.databaseUrl), LOG_LEVEL: 'info' });
  stack.defer(() => workers.abort());
  await workers.startAll();
  await waitUntil('all mailboxes are read', async () => {
    const [row] = await sql`SELECT count(*)::int AS others FROM sources WHERE state <> 'idle'`;
    return row?.others === 0;
  });

  const hurry = hurryTime(sql);
  stack.defer(() => hurry.stop());
  const post = createPost(dovecot, users, createRandom(SEED));
  stack.defer(async () => post.stop());
  const chaos = proxy.chaos(createRandom(SEED + 1), plan.faultsPerSecond, FAULTS);
  stack.defer(async () => chaos.stop());
  const random = createRandom(SEED + 2);
  const scene = { sql, dovecot, proxy, users, random, workers };
  const perils = shuffled(
    Object.entries(plan.times).flatMap(([name, times]) => Array<Peril>(times).fill(name as Peril)),
    random,
  );
  const sending = post.send(plan.mails, plan.perSecond);
  for (const [at, peril] of perils.entries()) {
    await post.reached(Math.ceil(((at + 1) * plan.mails) / (perils.length + 1)));
    await PERILS[peril](scene);
  }
  await sending;
  const sentMs = performance.now();
  chaos.stop();
  const run = { sql, dovecot, post, consumer };
  await waitForEnd(run);
  const endedMs = performance.now();
  await waitForCursors(run);
  const { gone, gaps } = await checkMailboxes(run);
  await checkStepsBack(sql);
  assert.deepEqual(workers.crashes, []);
  assert.deepEqual(await workers.stop(), [0, 0]);
  assert.deepEqual(workers.complaints(), [], 'no fault was ours');

  const faults = new Map<string, number>();
  for (const { fault } of chaos.done) faults.set(fault.kind, (faults.get(fault.kind) ?? 0) + 1);
  const fetched = [...dovecot.logs().matchAll(/ body_count=(\d+)/g)].reduce(
    (sum, [, count]) => sum + Number(count),
    0,
  );
  t.diagnostic(
    `${post.posted.size} mails in ${seconds(sentMs - startedMs)}, all told ${seconds(endedMs - sentMs)} later; ` +
      `${chaos.done.length} faults (${[...faults].map(([kind, count]) => `${kind} ${count}`).join(', ')}); ` +
      `${workers.kills} kills; ${Object.entries(plan.times)
        .map(([name, times]) => `${name} ${times}`)
        .join(', ')}`,
  );
  t.diagnostic(
    `${dovecot.logins().length} logins; ${fetched} mails fetched by sessions that ended in order; ${gaps} gaps; ` +
      `${gone} mails were gone when they were to be fetched; ${consumer.counts.received} webhooks`,
  );
});

function seconds(ms: number): string {
  return `${Math.round(ms / 1000)} s`;
}

function shuffled<T>(items: readonly T[], random: { below(limit: number): number }): T[] {
  return items
    .map((item) => ({ item, order: random.below(2 ** 30) }))
    .sort((a, b) => a.order - b.order)
    .map(({ item }) => item);
}
