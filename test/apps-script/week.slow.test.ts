import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { callGmail, EXPIRED } from './gmail-service.ts';
import { createInstallation } from './installation.ts';
import { startWorld, type World } from './world.ts';

/*
 * A mailbox lives, Google ends one execution in six somewhere, the server is away at times and Gmail forgets: by a seed,
 * so that a failure comes again. `npm run apps-script:week` lives the whole week with its 2,000 mails, and what else
 * takes long (five minutes in all); `npm test` a day of it. MAILGRESS_TEST_SEED takes another.
 */

const DAYS = process.env.MAILGRESS_TEST_WEEK === 'full' ? 7 : 1;
const MAILS_A_DAY = 286;
const SEED = Number(process.env.MAILGRESS_TEST_SEED ?? 1);
/** With nine calls in an execution. */
const KILLS_A_CALL = 0.02;

let world: World;
before(async () => {
  world = await startWorld(['week@example.com']);
});
after(() => world[Symbol.asyncDispose]());

test(`${DAYS} days, ${DAYS * MAILS_A_DAY} mails, executions ended anywhere: nothing lost, nothing twice`, (t) => {
  const random = createRandom(SEED);
  const box = createInstallation(world, 'week@example.com');
  const { runtime } = box;
  runtime.onCall = () => (random() < KILLS_A_CALL ? 'kill' : undefined);
  runtime.settings.latency = () => 20 + Math.floor(random() * 60);
  const wanted = () => box.delivered.filter(({ isWanted }) => isWanted).length;

  for (let minute = 0; minute < DAYS * 24 * 60; minute++) {
    if (random() < MAILS_A_DAY / (24 * 60) / 2) {
      // Mail comes in bursts: one to three, some of it no mail for us.
      for (let i = Math.floor(random() * 3); i >= 0 && wanted() < DAYS * MAILS_A_DAY; i--) comesIn();
    }
    if (random() < 1 / 300) runtime.serverFaults.push(() => ({ status: random() < 0.5 ? 503 : 429 }));
    if (random() < 1 / 10) runtime.serverFaults.length = 0;
    if (random() < 1 / (24 * 60)) forget();
    box.pass(1);
    if (minute % 60 === 0) box.expectCursorBehindServer();
  }

  runtime.onCall = () => undefined;
  runtime.serverFaults.length = 0;
  while (wanted() < DAYS * MAILS_A_DAY) comesIn();
  box.pass(60);
  box.expectAllStored();
  box.expectCursorBehindServer();
  assert.equal(runtime.triggers.length, 1);
  assert.deepEqual(world.sql(`SELECT * FROM stubs WHERE status = 'failed'`), []);
  assert.deepEqual(world.sql(`SELECT id FROM messages WHERE (document ->> 'truncated')::boolean`), []);
  assert.deepEqual(world.sql('SELECT * FROM gaps WHERE recovered_at IS NULL'), []);
  const killed = runtime.executions.filter(({ isKilled }) => isKilled).length;
  t.diagnostic(
    `${runtime.executions.length} executions, ${killed} of them ended, ${runtime.posts.length} posts`,
  );

  function comesIn(): void {
    const kind = random();
    if (kind < 0.05) {
      box.deliver('draft', { labelIds: ['DRAFT'], isWanted: false });
    } else if (kind < 0.08) {
      const id = box.deliver('gone', { isWanted: false });
      callGmail(world, runtime.settings.account, 'DELETE', `messages/${id}`);
    } else {
      box.deliver(`Betreff ${box.delivered.length} ä`, { body: 'x'.repeat(Math.floor(random() * 20_000)) });
    }
  }

  /** Gmail forgets the history before its newest record. */
  function forget(): void {
    const ids = [
      runtime.state.cursor,
      ...box.delivered.slice(0, -1).map(({ historyId }) => String(historyId)),
    ];
    const newest = String(box.delivered.at(-1)?.historyId);
    const expired = new Set(ids.filter((id) => id !== newest));
    runtime.faults.length = 0;
    runtime.faults.push((path) => {
      const start = path.startsWith('history?')
        ? new URLSearchParams(path.slice(8)).get('startHistoryId')
        : null;
      return start !== null && expired.has(start) ? EXPIRED : undefined;
    });
  }
});

/** Mulberry32: numbers from 0 to 1, the same for the same seed. */
function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
