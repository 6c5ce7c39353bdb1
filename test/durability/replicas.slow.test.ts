import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import postgres from 'postgres';
import { chooseFreePort } from '../../src/store/embedded/choose-port.ts';
import { startBalancer } from '../support/balancer.ts';
import { createTestDatabase } from '../support/database.ts';
import { type MailgressProcess, startMailgress } from '../support/process.ts';
import { ADMIN_TOKEN, addSource, callApi, SECRET_KEY } from '../support/service.ts';
import { checkStored } from './check-stored.ts';
import { drain } from './drain.ts';
import { startFlakyConsumer } from './flaky-consumer.ts';
import { type Load, startLoad } from './load.ts';

/*
 * Two replicas behind a balancer, at load, of which one after the other is killed. MAILGRESS_TEST_REPLICAS=full: one each 5 s
 * for a minute; else three in quick succession.
 */
const IS_FULL = process.env.MAILGRESS_TEST_REPLICAS === 'full';
const [KILLS, PAUSE_MS] = IS_FULL ? [12, 5000] : [3, 300];

/** `mailgress serve` on one port, started again each time it was killed. */
class Replica {
  readonly port: number;
  readonly #env: Record<string, string>;
  #process: MailgressProcess | undefined;
  /** Ends that nobody asked for. */
  readonly crashes: string[] = [];

  constructor(port: number, env: Record<string, string>) {
    this.port = port;
    this.#env = env;
  }

  async start(): Promise<void> {
    const started = startMailgress(['serve'], { ...this.#env, PORT: String(this.port) });
    this.#process = started;
    void started.ended.then(({ code, stderr }) => {
      if (code !== null && code !== 0) this.crashes.push(`exit ${code}: ${stderr.slice(-2000)}`);
    });
    await started.ready();
  }

  async kill(): Promise<void> {
    this.#process?.kill('SIGKILL');
    await this.#process?.ended;
  }
}

test(`of two replicas behind a balancer one is killed, ${KILLS} times at load: nothing acked is lost, each event comes`, async (t) => {
  const database = await createTestDatabase();
  await using consumer = await startFlakyConsumer();
  const env = {
    DATABASE_URL: database.url,
    MAILGRESS_ADMIN_TOKEN: ADMIN_TOKEN,
    MAILGRESS_SECRET_KEY: SECRET_KEY,
    MAILGRESS_EGRESS_ALLOW: '127.0.0.0/8',
    LOG_LEVEL: 'warn',
  };
  const replicas = [
    new Replica(await chooseFreePort(), env),
    new Replica(await chooseFreePort(), env),
  ] as const;
  await using balancer = await startBalancer(replicas.map(({ port }) => port));
  const sql = postgres(database.url, { max: 2, onnotice: () => {} });
  let load: Load | undefined;
  try {
    await Promise.all(replicas.map((replica) => replica.start()));
    const { address } = balancer;
    await callApi(address, 'POST', '/v1/endpoints', { url: consumer.url, maxInFlight: 32 });
    const kinds = Array.from({ length: 12 }, (_, index) => (index < 9 ? 'apps-script' : 'raw'));
    const sources = await Promise.all(
      kinds.map(async (kind) => {
        const source = await addSource({ address }, kind);
        return { ...source, ingestUrl: new URL(new URL(source.ingestUrl).pathname, address).href, kind };
      }),
    );

    load = startLoad(sources);
    const outagesMs: number[] = [];
    for (let round = 0; round < KILLS; round++) {
      await load.waitForAcks(100);
      await sleep(PAUSE_MS);
      const replica = replicas[round % 2 === 0 ? 0 : 1];
      await replica.kill();
      const startedMs = performance.now();
      // The other one goes on while this one is away.
      await load.waitForAcks(30);
      outagesMs.push(Math.round(performance.now() - startedMs));
      await replica.start();
      assert.deepEqual(load.violations, []);
    }
    await load.waitForAcks(50);
    await load.finish();
    assert.deepEqual(load.violations, []);
    await drain(sql);
    await checkStored({ sql, address, load, consumer });
    for (const { crashes } of replicas) assert.deepEqual(crashes, []);
    const { requests, repeated, duplicates } = load.counts;
    t.diagnostic(
      `${KILLS} kills; ${load.acked.size} mails acked in ${requests} requests (${repeated} of them had to be repeated, ` +
        `${duplicates} answers "duplicate"); connections to each replica: ${balancer.counts.join(' and ')}; until 30 more ` +
        `mails were acked ${Math.max(...outagesMs)} ms at most`,
    );
  } finally {
    load?.abort();
    await Promise.all(replicas.map((replica) => replica.kill()));
    await sql.end();
    await database.drop();
  }
});
