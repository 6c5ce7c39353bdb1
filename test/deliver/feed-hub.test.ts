import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import postgres from 'postgres';
import { createId, uuidOf } from '../../src/core/ids.ts';
import { createFeedHub, type FeedHub } from '../../src/deliver/feed-hub.ts';
import { type Database, openDatabase } from '../../src/store/database.ts';
import { compareFeedPositions, type FeedPosition, findFeedEnd, readFeed } from '../../src/store/feed.ts';
import { ALL_TENANTS } from '../../src/store/scope.ts';
import { createTestDatabase } from '../support/database.ts';
import { waitUntil } from '../support/embedded-place.ts';
import { createRandom, type Random } from '../support/random.ts';

/*
 * Eight writers, a transaction that stays open over several rounds, and clients that come, go, fall behind and resume,
 * in random order by a seed. What each client got must be the log from where it began: nothing less, nothing twice,
 * nothing out of order. `npm run test:long` has 10,000 rounds; MAILGRESS_TEST_SEED takes another seed, MAILGRESS_TEST_FEED another number.
 */

const ROUNDS =
  process.env.MAILGRESS_TEST_FEED === 'full' ? 10_000 : Number(process.env.MAILGRESS_TEST_FEED ?? 50);
const ROUNDS_OF_A_HUB = 5;
const SEED = Number(process.env.MAILGRESS_TEST_SEED ?? 1);
const TYPES = ['gap.opened', 'gap.recovered'];

let database: Database;
let writers: postgres.Sql;
/** Stopped whatever a test comes to: their timers would keep the file alive. */
const hubs: FeedHub[] = [];
let drop: () => Promise<void>;
before(async () => {
  const created = await createTestDatabase();
  drop = created.drop;
  database = openDatabase(created.url);
  // Not the disk is tried here.
  writers = postgres(created.url, { max: 9, connection: { synchronous_commit: 'off' } });
});
after(async () => {
  for (const hub of hubs) hub.stop();
  await writers.end();
  await database.close();
  await drop();
});

function insert(sql: postgres.Sql | postgres.TransactionSql, type = 'gap.opened') {
  return sql`
    INSERT INTO events (id, type, tenant, data) VALUES (${uuidOf(createId('evt'))}, ${type}, 'default', '{}'::json)`;
}

/** Lets others go first, so many times. */
async function hop(times: number): Promise<void> {
  for (let n = 0; n < times; n++) await new Promise(setImmediate);
}

const print = {
  event: ({ id, position }: { id: string; position: FeedPosition }) =>
    Buffer.from(`${JSON.stringify({ id, position })}\n`),
  mark: (position: FeedPosition | undefined) => Buffer.from(`${JSON.stringify({ position })}\n`),
};

function createHub(random: Random): FeedHub {
  return createFeedHub({
    read: async (request) => {
      await hop(random.below(3));
      const page = await readFeed(database.sql, request);
      await hop(random.below(6));
      return page;
    },
    print,
    pollMs: 50,
    heartbeatMs: 20,
    recentBytes: random.pick([0, 500, 5000]),
    pageSize: random.pick([1, 2, 7, 30]),
  });
}

/** Reads what it is given like a real one: at times slowly, and it remembers where to resume. */
function createClient(hub: FeedHub, start: FeedPosition, types: string[], random: Random) {
  const got: string[] = [];
  let position = start;
  let held = 0;
  let subscription: { close(): void } | undefined;

  function connect(): void {
    let isMine = true;
    const limit = random.pick([1, 3, 1000]);
    held = 0;
    const leave = () => {
      isMine = false;
    };
    const { close } = hub.subscribe(
      { after: position, types, scope: ALL_TENANTS },
      {
        write(bytes) {
          if (held >= limit) return false;
          held++;
          void hop(random.below(4)).then(() => held--);
          if (!isMine) strays++;
          for (const line of Buffer.from(bytes).toString().split('\n').slice(0, -1)) {
            const one: { id?: string; position?: FeedPosition } = JSON.parse(line);
            if (one.id !== undefined) got.push(one.id);
            if (one.position !== undefined) position = one.position;
          }
          return true;
        },
        async hasRoom() {
          while (isMine && held >= limit) await hop(1);
        },
        end: leave,
        drop() {
          leave();
          // Unless it has connected anew by itself meanwhile, or gone: two connections would bring everything twice.
          void hop(1).then(() => subscription === own && connect());
        },
      },
    );
    const own = {
      close() {
        close();
        leave();
      },
    };
    subscription = own;
  }

  connect();
  return {
    start,
    types,
    got,
    place: () => position,
    reconnect() {
      subscription?.close();
      connect();
    },
    close() {
      subscription?.close();
      subscription = undefined;
    },
  };
}

async function writeRound(random: Random): Promise<void> {
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      await hop(random.below(8));
      const isUndone = random.below(10) === 0;
      await writers
        .begin(async (tx) => {
          for (let n = random.below(3); n >= 0; n--) {
            await insert(tx, random.pick(TYPES));
            await hop(random.below(6));
          }
          if (isUndone) throw new Error('undone');
        })
        .catch((error: Error) => assert.equal(error.message, 'undone'));
    }),
  );
}

async function openTransaction(): Promise<() => Promise<void>> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const { promise: begun, resolve: onBegun } = Promise.withResolvers<void>();
  const transaction = writers.begin(async (tx) => {
    await insert(tx);
    onBegun();
    await promise;
  });
  await begun;
  return async () => {
    resolve();
    await transaction;
  };
}

/** The log as it is in the end. */
async function readLog(from: FeedPosition): Promise<{ id: string; type: string; position: FeedPosition }[]> {
  const all = [];
  for (let after = from; ; ) {
    const page = await readFeed(database.sql, { after, types: [], scope: ALL_TENANTS, limit: 500 });
    all.push(...page.events);
    after = page.next;
    if (page.events.length === 0 && !page.isHeldBack) return all;
  }
}

/** What was written to someone who had left. */
let strays = 0;

test(`${ROUNDS} rounds of eight writers and a long transaction: every client gets the log, whole and once`, async () => {
  const random = createRandom(SEED);
  let clientCount = 0;
  for (let round = 0; round < ROUNDS; ) {
    const hub = createHub(random);
    hubs.push(hub);
    const start = await findFeedEnd(database.sql);
    const clients: ReturnType<typeof createClient>[] = [];
    let endLong: (() => Promise<void>) | undefined;
    for (let n = 0; n < ROUNDS_OF_A_HUB; n++, round++) {
      if (endLong === undefined && random.below(4) === 0) endLong = await openTransaction();
      const writing = writeRound(random).then(hub.wake);
      for (let calls = random.below(4); calls > 0; calls--) {
        await hop(random.below(10));
        const someone = clients.length === 0 ? undefined : random.pick(clients);
        if (someone === undefined || (clients.length < 20 && random.below(3) === 0)) {
          const place = someone === undefined || random.below(2) === 0 ? start : someone.place();
          clients.push(createClient(hub, place, random.pick([[], [], [random.pick(TYPES)]]), random));
        } else someone.reconnect();
        if (random.below(2) === 0) hub.wake();
      }
      await writing;
      if (endLong !== undefined && random.below(4) === 0) {
        await endLong();
        endLong = undefined;
      }
    }
    await endLong?.();
    const log = await readLog(start);
    for (const { start, types, got } of clients) {
      const expected = log
        .filter(({ position }) => compareFeedPositions(position, start) > 0)
        .filter(({ type }) => types.length === 0 || types.includes(type))
        .map(({ id }) => id);
      await waitUntil('a client has got all', () => got.length >= expected.length);
      assert.deepEqual(got, expected);
    }
    clientCount += clients.length;
    for (const client of clients) client.close();
    assert.equal(hub.clientCount(), 0);
  }
  assert.equal(strays, 0);
  assert.ok(clientCount > ROUNDS / 10, `${clientCount} clients`);
});

test('however many clients there are, each event is read once', async () => {
  let reads = 0;
  const hub = createFeedHub({
    read: (request) => {
      reads++;
      return readFeed(database.sql, request);
    },
    print,
    pollMs: 60_000,
  });
  hubs.push(hub);
  const start = await findFeedEnd(database.sql);
  const clients = Array.from({ length: 200 }, () =>
    createClient(hub, start, [], { below: () => 0, pick: (all) => all.at(-1) as never }),
  );
  await insert(writers);
  hub.wake();
  await waitUntil('all have the first', () => clients.every(({ got }) => got.length === 1));
  const before = reads;
  for (let n = 0; n < 5; n++) {
    await insert(writers);
    hub.wake();
    await waitUntil('all have it', () => clients.every(({ got }) => got.length === n + 2));
  }
  // One of each event, and some that came too early to see it.
  assert.ok(reads - before <= 25, `${reads - before} reads`);
});

test('reads nothing while nobody follows', async () => {
  let reads = 0;
  const hub = createFeedHub({
    read: (request) => {
      reads++;
      return readFeed(database.sql, request);
    },
    print,
    pollMs: 1,
  });
  const client = createClient(hub, await findFeedEnd(database.sql), [], createRandom(1));
  await waitUntil('it reads', () => reads > 2);
  client.close();
  const before = reads;
  hub.wake();
  await insert(writers);
  hub.wake();
  await new Promise((resolve) => setTimeout(resolve, 30));
  assert.ok(reads - before <= 1, 'one may have been under way');
});
