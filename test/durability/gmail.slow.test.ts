import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import postgres, { type Sql } from 'postgres';
import { chooseFreePort } from '../../src/store/embedded/choose-port.ts';
import { createTestDatabase } from '../support/database.ts';
import { waitUntil } from '../support/embedded-place.ts';
import type { Entry } from '../support/gmail/ledger.ts';
import { createPushDriver } from '../support/gmail/push-driver.ts';
import { startGmailWorld } from '../support/gmail/world.ts';
import { startPushTokens } from '../support/push-tokens.ts';
import { createRandom } from '../support/random.ts';
import { ADMIN_TOKEN, callApi, SECRET_KEY } from '../support/service.ts';
import { startFlakyConsumer } from './flaky-consumer.ts';
import { checkCursors, checkMailboxes, noteStepsBack } from './gmail-check.ts';
import { type Clock, startClock } from './gmail-clock.ts';
import { addTriggers, MOMENTS, type Moment, type Scene } from './gmail-moments.ts';
import { createPost, type Post } from './gmail-post.ts';
import { KilledService } from './killed-service.ts';

/*
 * Mail arrives in bursts, one answer of Gmail in twenty is a fault, pushes come twice and in any order, and the process
 * is killed: at every named moment in the long form (MAILGRESS_TEST_GMAIL=full), at the first few in the short one.
 */
const isFull = process.env.MAILGRESS_TEST_GMAIL === 'full';
const { mails, mailboxes, kills } = isFull
  ? { mails: 10_000, mailboxes: 20, kills: 20 }
  : { mails: 300, mailboxes: 5, kills: 5 };
const SEED = Number(process.env.MAILGRESS_TEST_SEED ?? 1);
const FAULTY_SHARE = 0.05;
/** So that a burst has several pages. */
const LARGEST_PAGE = 10;
/** A moment that does not come by then is given up. */
const MOMENT_WITHIN_MS = 60_000;
/** One that came, but at which the process was elsewhere by the time it died, is tried so often. */
const TRIES = 4;
/** Nothing new for so long is the end. */
const PATIENCE_MS = 60_000;

type Run = Scene & { env: Record<string, string>; clock: Clock; post: Post; service: KilledService };

test(`${mails} mails for ${mailboxes} mailboxes, 5 % faults, ${kills} kills: each is stored and told once`, async (t) => {
  const random = createRandom(SEED);
  const accounts = Array.from({ length: mailboxes }, (_, index) => `box-${index}@example.com`);
  await using stack = new AsyncDisposableStack();
  const database = await createTestDatabase();
  stack.defer(() => database.drop());
  const sql = postgres(database.url, {
    max: 4,
    onnotice: () => {},
    connection: { application_name: 'test' },
  });
  stack.defer(() => sql.end({ timeout: 5 }));
  await addTriggers(sql);
  await noteStepsBack(sql);
  const world = stack.use(await startGmailWorld({ accounts, largestPage: LARGEST_PAGE }));
  const tokens = stack.use(await startPushTokens());
  const consumer = stack.use(await startFlakyConsumer());
  const driver = stack.use(
    createPushDriver({
      url: 'http://127.0.0.1:9/',
      tokens,
      doubledShare: 0.2,
      reorderWithinMs: 200,
      oncePerSecond: true,
      seed: SEED,
    }),
  );
  world.pushTo(driver.publish);
  const env = {
    DATABASE_URL: database.url,
    MAILGRESS_ADMIN_TOKEN: ADMIN_TOKEN,
    MAILGRESS_SECRET_KEY: SECRET_KEY,
    MAILGRESS_EGRESS_ALLOW: '127.0.0.0/8',
    GMAIL_TOPIC: 'projects/test-project/topics/gmail',
    LOG_LEVEL: 'warn',
    ...world.env,
    ...tokens.env,
  };
  const post = createPost(world, accounts, random);
  const scene: Scene = { world, driver, sql, accounts };
  const run: Run = {
    ...scene,
    env,
    clock: startClock(sql),
    post,
    service: new KilledService(env, await chooseFreePort()),
  };
  stack.defer(() => run.clock[Symbol.asyncDispose]());
  stack.defer(() => run.service.kill());
  await connectAll(run, consumer.url);
  await die(run);

  world.failSome({ share: FAULTY_SHARE, seed: SEED });
  const hits: string[] = [];
  const misses: string[] = [];
  let lost = 0;
  const burst = Math.ceil(mails / (kills + 1));
  const anyTime: Moment = {
    name: 'at any time',
    watch: async (_, strike) => {
      const timer = setTimeout(strike, 500 + random.below(3000));
      return () => clearTimeout(timer);
    },
  };
  const planned = [MOMENTS[0], TAKEN_OVER, ...MOMENTS.slice(1)].slice(0, kills);
  for (const moment of [...planned, ...Array(kills - planned.length).fill(anyTime)] as Moment[]) {
    for (let tries = 1; tries <= TRIES; tries++) {
      const { isHit, lostGets } = await killAt(moment, run, burst);
      lost += lostGets;
      (isHit ? hits : misses).push(moment.name);
      if (isHit) break;
    }
  }
  await run.service.start(driver.moveTo);
  await post.burst(burst);
  await post.touch();
  await waitForEnd(run);
  await driver.drained();
  const { gaps } = await checkMailboxes({ ...run, address: run.service.address, consumer });
  const { entries } = world.ledger;
  const gets = countGets(run, post.wanted);
  const { published, dropped, doubled, sent, acked } = driver.counts;
  t.diagnostic(`killed ${hits.join('; ')}${misses.length > 0 ? `; in vain ${misses.join('; ')}` : ''}`);
  t.diagnostic(
    `${post.wanted.size} mails, asked for ${gets} times (${lost} times in vain at a kill); ${post.unwanted.size} drafts ` +
      `and sent, asked for ${countGets(run, post.unwanted)} times; ${gaps} gaps; ` +
      `${entries.filter(({ fault }) => fault !== undefined).length} faults in ${entries.length} calls; ` +
      `${published} notifications, ${dropped} dropped, ${doubled} doubled, sent ${sent} times, acked ${acked} times; ` +
      `${consumer.counts.received} webhooks`,
  );
  const missed = planned.filter((moment) => moment !== undefined && !hits.includes(moment.name));
  assert.deepEqual(
    missed.map((moment) => moment?.name),
    [],
    'the process was killed at each of these',
  );
  // In the short form what each kill costs is a large part, and so is chance.
  const allowed = isFull ? post.wanted.size * 1.1 : post.wanted.size * 1.2 + lost;
  assert.ok(gets <= allowed, `${gets} messages.get for ${post.wanted.size} mails`);
});

function countGets({ world }: Run, ids: { has(id: string): boolean }): number {
  return world.ledger.entries.filter(
    ({ name, messageId }) => name === 'messages.get' && ids.has(messageId ?? ''),
  ).length;
}

/** A process that a lease is taken from, while it waits for Gmail; it goes on as if it still had it. */
const TAKEN_OVER: Moment = {
  name: 'before its fence was checked',
  watch: async () => () => {},
};

async function killAt(
  moment: Moment,
  run: Run,
  burst: number,
): Promise<{ isHit: boolean; lostGets: number }> {
  const { post, world, service } = run;
  const before = world.ledger.entries.length;
  await post.burst(burst / 2);
  await moment.prepare?.(run);
  let isHit: boolean;
  if (moment === TAKEN_OVER) {
    const arriving = post.burst(burst / 2);
    isHit = await takeOver(run);
    await arriving;
  } else {
    const struck = Promise.withResolvers<boolean>();
    const unwatch = await moment.watch(run, () => {
      service.strike();
      struck.resolve(true);
    });
    const timer = setTimeout(() => struck.resolve(false), MOMENT_WITHIN_MS);
    const starting = service.start(run.driver.moveTo).catch(() => {});
    const arriving = post.burst(burst / 2);
    isHit = await struck.promise;
    clearTimeout(timer);
    await unwatch();
    await service.kill();
    await Promise.all([starting, arriving]);
    await untilAlone(run.sql);
    isHit &&= (await moment.isHit?.(run)) ?? true;
  }
  const lostGets = await countLost(run, before);
  await die(run);
  return { isHit, lostGets };
}

async function takeOver(run: Run): Promise<boolean> {
  const { sql, world, clock, driver, env } = run;
  const first = run.service;
  const stopped = Promise.withResolvers<Entry>();
  const unhook = world.addHook((entry, moment) => {
    if (entry.name !== 'history.list' || moment !== 'asked') return;
    first.process.kill('SIGSTOP');
    stopped.resolve(entry);
  });
  await first.start(driver.moveTo);
  const call = await stopped.promise;
  unhook();
  const find = async () => {
    const [row] = await sql`
      SELECT cursor, fence::int, lease_owner AS owner FROM sources WHERE account = ${call.account ?? ''}`;
    return row;
  };
  const held = await find();
  const owners = await clock.leaseOwners();
  await clock.endLeases(owners);
  const second = new KilledService(env, await chooseFreePort());
  run.service = second;
  await second.start(driver.moveTo);
  await waitUntil('another process has read on', async () => {
    const row = await find();
    return row?.fence > held?.fence && row?.owner === null && row?.cursor !== held?.cursor;
  });
  first.process.kill('SIGCONT');
  // As long as it takes to keep what was answered, and to be refused.
  await sleep(1000);
  await first.kill();
  await clock.endLeases(owners);
  assert.deepEqual(first.crashes, []);
  return call.status === 200 && call.fault === undefined;
}

/** Nobody runs; what the dead held is free, and what they had begun is over. */
async function die({ service, sql, clock, post }: Run): Promise<void> {
  await service.kill();
  await untilAlone(sql);
  await clock.endLeases();
  assert.deepEqual(service.crashes, []);
  await checkCursors(sql, post);
}

/** A statement of the dead may still commit. */
async function untilAlone(sql: Sql): Promise<void> {
  await waitUntil('the connections of the dead are gone', async () => {
    const [row] = await sql`SELECT count(*)::int AS others FROM pg_stat_activity
      WHERE datname = current_database() AND backend_type = 'client backend' AND application_name <> 'test'`;
    return row?.others === 0;
  });
}

/** Mails that were asked for, and of which nothing had come. */
async function countLost({ world, sql }: Run, sinceEntry: number): Promise<number> {
  const asked = world.ledger.entries
    .slice(sinceEntry)
    .filter(({ name, fault }) => name === 'messages.get' && (fault === undefined || fault === 'slow'))
    .map(({ messageId }) => messageId ?? '');
  const rows = await sql<{ id: string }[]>`
    SELECT provider_id AS id FROM stubs JOIN sources ON sources.id = source_id
    WHERE stubs.status = 'pending' AND provider_id = ANY (${asked})
      AND NOT EXISTS (SELECT FROM dedupe_ledger l WHERE l.mailbox_id = sources.mailbox_id AND l.key = stubs.key)`;
  return rows.length;
}

async function connectAll(run: Run, consumerUrl: string): Promise<void> {
  const { service, world, sql, driver, accounts } = run;
  const address = await service.start(driver.moveTo);
  await callApi(address, 'POST', '/v1/endpoints', { url: consumerUrl, maxInFlight: 32 });
  await Promise.all(
    accounts.map(async (account) => {
      const { body: mailbox } = await callApi(address, 'POST', '/v1/mailboxes', { address: account });
      const auth = { type: 'oauth', refreshToken: world.refreshToken(account) };
      const made = await callApi(address, 'POST', `/v1/mailboxes/${mailbox.id}/sources`, {
        kind: 'gmail',
        auth,
      });
      assert.equal(made.status, 201, JSON.stringify(made.body));
    }),
  );
  await waitUntil('every mailbox is watched', async () => {
    const [row] = await sql`SELECT count(*)::int AS watched FROM gmail_watches WHERE expires_at IS NOT NULL`;
    return row?.watched === accounts.length;
  });
}

/** Until all is stored and told. */
async function waitForEnd({ sql, post, service, world }: Run): Promise<void> {
  let [lastLeft, sinceMs] = ['', performance.now()];
  for (;;) {
    const [row] = await sql`
      SELECT (SELECT count(*)::int FROM stubs WHERE status = 'pending') AS stubs,
        (SELECT count(*)::int FROM gaps WHERE recovered_at IS NULL) AS gaps,
        (SELECT count(*)::int FROM deliveries WHERE status = 'pending') AS deliveries,
        (SELECT count(*)::int FROM messages) AS messages,
        (SELECT count(*)::int FROM sources WHERE state <> 'idle' OR hinted_at > synced_at) AS behind`;
    const { stubs, gaps, deliveries, messages, behind } = row ?? {};
    if (stubs + gaps + deliveries + behind === 0 && messages >= post.wanted.size) return;
    const left = JSON.stringify(row);
    if (left !== lastLeft) [lastLeft, sinceMs] = [left, performance.now()];
    if (performance.now() - sinceMs > PATIENCE_MS) {
      const sources = await sql`
        SELECT account, state, reason, failures, slow_until - now() AS "slowFor", due_at - now() AS "dueIn",
          lease_until - now() AS "leasedFor", hinted_at > synced_at AS "isHinted" FROM sources`;
      const calls = world.ledger.entries.slice(-20).map(({ name, account, atMs, status, tookMs, fault }) => ({
        name,
        account,
        agoMs: Date.now() - atMs,
        status,
        tookMs,
        fault,
      }));
      const log = service.process.stderr().slice(-3000);
      throw new Error(
        `nothing moves any more: ${left}\n${JSON.stringify({ sources, calls }, null, 1)}\n${log}`,
      );
    }
    await sleep(100);
  }
}
