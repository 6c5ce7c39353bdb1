import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import postgres, { type Sql } from 'postgres';
import { chooseFreePort } from '../../src/store/embedded/choose-port.ts';
import { waitUntil } from '../support/embedded-place.ts';
import {
  createDataDirectory,
  type DataDirectory,
  type MailgressProcess,
  startMailgress,
} from '../support/process.ts';
import { ADMIN_TOKEN, addSource, callApi } from '../support/service.ts';
import { checkStored } from './check-stored.ts';
import { drain } from './drain.ts';
import { startFlakyConsumer } from './flaky-consumer.ts';
import { type Load, startLoad } from './load.ts';

/*
 * kill -9 at load. MAILGRESS_TEST_KILLS says how often; a few times show that the test works, twenty are the proof.
 */
const KILLS = Number(process.env.MAILGRESS_TEST_KILLS ?? 3);

/** `npm start`, on one port and data directory, and started again there. */
class Service {
  readonly directory: DataDirectory;
  readonly port: number;
  #process: MailgressProcess | undefined;
  /** Ends that nobody asked for. */
  readonly crashes: string[] = [];

  constructor(directory: DataDirectory, port: number) {
    this.directory = directory;
    this.port = port;
  }

  get process(): MailgressProcess {
    if (this.#process === undefined) throw new Error('not started');
    return this.#process;
  }

  async start(): Promise<string> {
    const started = startMailgress(['all'], {
      MAILGRESS_DATA_DIR: this.directory.path,
      MAILGRESS_ADMIN_TOKEN: ADMIN_TOKEN,
      PORT: String(this.port),
      LOG_LEVEL: 'warn',
    });
    this.#process = started;
    void started.ended.then(({ code, stderr }) => {
      if (code !== null) this.crashes.push(`exit ${code}: ${stderr.slice(-2000)}`);
    });
    return started.ready();
  }

  async kill(): Promise<void> {
    this.process.kill('SIGKILL');
    await this.process.ended;
  }

  /** Kills PostgreSQL's first process; its others find out by themselves. */
  async killPostmaster(): Promise<number> {
    const { pid } = (await this.directory.postmaster()) ?? { pid: 0 };
    assert.ok(pid > 0, 'a postmaster runs');
    process.kill(pid, 'SIGKILL');
    return pid;
  }

  async waitForOtherPostmaster(killed: number): Promise<void> {
    await waitUntil('another postmaster runs', async () => {
      const current = await this.directory.postmaster();
      return current !== undefined && current.pid !== killed;
    });
  }

  async stop(): Promise<void> {
    assert.deepEqual(this.crashes, []);
    this.process.kill('SIGTERM');
    const { code, stderr } = await this.process.ended;
    assert.equal(code, 0, stderr);
  }
}

const kills: Record<string, (service: Service) => Promise<void>> = {
  'the server': async (service) => {
    await service.kill();
    await service.start();
  },
  'the database, which comes back by itself': async (service) => {
    await service.waitForOtherPostmaster(await service.killPostmaster());
  },
  'both at once': async (service) => {
    const [, killed] = await Promise.all([service.kill(), service.killPostmaster()]);
    await service.start();
    await service.waitForOtherPostmaster(killed);
  },
};

for (const [name, kill] of Object.entries(kills))
  test(`kill -9 at load, ${KILLS} times: ${name}: all that was acked is stored once and reaches the consumer`, async (t) => {
    await using directory = await createDataDirectory();
    await using consumer = await startFlakyConsumer();
    const service = new Service(directory, await chooseFreePort());
    const address = await service.start();
    let load: Load | undefined;
    try {
      await callApi(address, 'POST', '/v1/endpoints', { url: consumer.url, maxInFlight: 32 });
      const kinds = Array.from({ length: 12 }, (_, index) => (index < 9 ? 'apps-script' : 'raw'));
      const sources = await Promise.all(
        kinds.map(async (kind) => ({ ...(await addSource({ address }, kind)), kind })),
      );

      load = startLoad(sources);
      const outagesMs: number[] = [];
      for (let round = 0; round < KILLS; round++) {
        await load.waitForAcks(randomInt(50, 150));
        // At any point of what is going on.
        await sleep(randomInt(50));
        const startedMs = performance.now();
        await kill(service);
        await load.waitForAcks(1);
        outagesMs.push(Math.round(performance.now() - startedMs));
        assert.deepEqual(load.violations, [], service.process.stderr().slice(-5000));
        assert.deepEqual(service.crashes, []);
      }
      await load.waitForAcks(20);
      await load.finish();
      assert.deepEqual(load.violations, []);

      const sql = await openDatabaseOf(directory);
      try {
        await drain(sql);
        await checkStored({ sql, address, load, consumer });
      } finally {
        await sql.end();
      }
      await service.stop();
      const { requests, repeated, duplicates } = load.counts;
      t.diagnostic(
        `${KILLS} kills; ${load.acked.size} mails acked in ${requests} requests (${repeated} of them had to be repeated, ` +
          `${duplicates} answers "duplicate"); ${consumer.counts.received} webhooks for ${consumer.messages.size} events ` +
          `(${consumer.counts.failed} answered 500, ${consumer.counts.reset} reset); until the next ack ` +
          `${outagesMs.toSorted((a, b) => a - b)[KILLS >> 1]} ms in the median, ${Math.max(...outagesMs)} ms at most`,
      );
    } finally {
      load?.abort();
      await service.process[Symbol.asyncDispose]();
    }
  });

async function openDatabaseOf({ path, postmaster }: DataDirectory): Promise<Sql> {
  const password = (await readFile(join(path, 'postgres', 'password'), 'utf8')).trim();
  const url = `postgres://mailgress:${password}@127.0.0.1:${(await postmaster())?.port}/mailgress`;
  return postgres(url, { max: 2, onnotice: () => {} });
}
